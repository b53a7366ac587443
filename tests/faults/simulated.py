"""The arithmetics of the simulated NPU that the corpus uses: how its switches stand, and whether it heeds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from snellen.devices import Device, resolve
from snellen.devices.simulated import Settings, configured

CONVOLUTION = "torch.npu.conv.allow_hf32"
MATMUL = "torch.npu.matmul.allow_hf32"
MODE = "torch.npu.set_option: ACL_PRECISION_MODE"
AUTOCAST = "torch.autocast('npu')"


@dataclass(frozen=True)
class Setup:
    """One way the simulated device computes; switches that are not named stand at their strict values."""

    settings: Settings = field(default_factory=Settings)
    switches: dict[str, str] = field(default_factory=dict)


SETUPS = {
    "strict": Setup(),
    "hf32 convolution": Setup(switches={CONVOLUTION: "True"}),
    "hf32 matmul": Setup(switches={MATMUL: "True"}),
    "hf32 switches": Setup(switches={CONVOLUTION: "True", MATMUL: "True"}),
    "float16 mode": Setup(switches={MODE: "allow_fp32_to_fp16"}),
    "float16 autocast": Setup(switches={AUTOCAST: "float16"}),
    "bfloat16 autocast": Setup(switches={AUTOCAST: "bfloat16"}),
    "missing operator": Setup(Settings(missing=("aten::gelu", "aten::silu"))),
    **{name: Setup(Settings(arithmetic=name)) for name in ("hf32", "float16", "bfloat16")},
}
"""By name; the last three lower everything and heed no switch."""


@contextmanager
def simulated(name: str) -> Iterator[Device]:
    """Set the simulated device up, and put settings and switches back afterwards."""
    setup = SETUPS[name]
    with configured(setup.settings), ExitStack() as stack:
        device = resolve("npu")
        known = {switch.name: switch for switch in device.switches()}
        assert setup.switches.keys() <= known.keys(), (setup.switches, list(known))
        for key, switch in known.items():
            stack.enter_context(switch.at(setup.switches.get(key, switch.strict)))
        yield device
