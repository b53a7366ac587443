"""The contract every kind of device keeps, and the dtypes it is asked about.

In: an index. Out: what the rest of snellen may know of a device: how torch calls it, what it is, whether it computes
in a dtype, how to wait for it, which switches lower its precision, and which operators it leaves to the CPU. No other
room says "npu" or "cuda".
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, final

from snellen.devices import variables
from snellen.devices.switches import Switch
from snellen.devices.watch import Watch, watching
from snellen.errors import DeviceUnavailable, UnknownName

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, kw_only=True)
class Device(ABC):
    """One device that is present; ``name`` finds it again (``cuda:1``), and is what torch calls it too."""

    name: str
    kind: str
    index: int = 0

    @final
    @property
    def torch_name(self) -> str:
        """What torch calls the device, for ``tensor.to``."""
        return self.name

    @property
    def simulated(self) -> bool:
        """Whether no such device is there, and this one only imitates it."""
        return False

    @final
    def check_dtype(self, dtype: str) -> None:
        """Raise unless this device computes in ``dtype``, and does so in a way that is worth choosing.

        UnknownName: no such dtype in snellen. DeviceUnavailable: not on this device; the message says why and offers
        the others.
        """
        if dtype not in DTYPES:
            raise UnknownName("dtype", dtype, DTYPES, todo=f"one of {', '.join(DTYPES)}")
        refused = self.refused()
        if dtype in refused:
            offered = [name for name in DTYPES if name not in refused]
            raise DeviceUnavailable(
                f"{dtype} is refused on {self.name}: {refused[dtype]}",
                expected=f"{' or '.join(offered)} on {self.name}",
                todo=f"--dtype {'bfloat16' if dtype == 'float16' and 'bfloat16' in offered else 'float32'}",
            )

    @abstractmethod
    def refused(self) -> Mapping[str, str]:
        """Return the dtypes that this device is not used in, each with the reason."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what the device is, as JSON-serialisable values; ``name``, ``kind`` and ``product`` at least."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""

    @abstractmethod
    def memory(self) -> dict[str, int] | None:
        """Return ``free``, ``total`` and ``peak`` bytes; None where the device does not tell."""

    @abstractmethod
    def switches(self) -> tuple[Switch, ...]:
        """Return every precision switch that can change this device's numbers and can be read; start nothing."""

    def watched(self) -> AbstractContextManager[Watch]:
        """Open a watch for operators that run on the CPU instead of this device."""
        return watching()

    def stack(self) -> dict[str, str]:
        """Return the versions of the software that only this kind of device needs; nothing where it needs none."""
        return {}

    @final
    def visible(self) -> dict[str, str]:
        """Return the variables that decide which devices of this kind there are, and how they run, as they are set."""
        return variables.told(self.kind, os.environ)

    def leavings(self) -> tuple[str, ...]:
        """Return what the device's own software may leave in the working directory; names may hold ``*``."""
        return ()


def check_present(kind: str, index: int, count: int) -> None:
    """Raise DeviceUnavailable, saying how many devices of this kind there are, unless ``index`` is one of them."""
    if index < count:
        return
    if not count:
        raise DeviceUnavailable(f"there is no {kind} device on this machine (0 found)", todo="--device cpu")
    there = f"{kind}:0" if count == 1 else f"{kind}:0 to {kind}:{count - 1}"
    raise DeviceUnavailable(
        f"there is no {kind}:{index} on this machine ({count} found)", expected=there, todo=f"--device {kind}:0"
    )
