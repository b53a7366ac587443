"""What OpenVINO made of a network: read back from what was compiled. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snellen.errors import DeviceUnavailable

NUMBERS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
"""The dtypes OpenVINO says it ran."""

PRODUCTS = ("FullyConnected", "MatMul", "Convolution")
"""The kinds of node that do the work, by whose precision a network is said to run."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What was compiled: how many products run in which dtype."""

    products: Mapping[str, int]

    def check(self, dtype: str, cpu: str) -> None:
        """Raise DeviceUnavailable unless the products run in ``dtype``; 8-bit networks keep some in float32."""
        wrong = [name for name in self.products if name != dtype]
        if dtype in self.products and (not wrong or dtype == "int8"):
            return
        ran = ", ".join(f"{count} in {name}" for name, count in self.products.items()) or "none"
        raise DeviceUnavailable(
            f"{dtype} was asked for, and OpenVINO would run its matrix products otherwise on {cpu}: {ran}",
            expected=f"all of them in {dtype}",
            todo="--dtype float32, which every CPU computes in",
        )


def executed(compiled: Any) -> Executed:
    """Read back from a compiled network in which dtype it runs its products."""
    products: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in PRODUCTS:
            ran = info["runtimePrecision"].astype(str)
            name = NUMBERS.get(ran, ran)
            products[name] = products.get(name, 0) + 1
    return Executed(products)
