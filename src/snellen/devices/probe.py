"""Ask a device, in a process of its own, whether it answers: a driver that hangs or crashes must not take us along.

In: a device's name. Out: ``Answer``: what the device says of itself, or why it does not answer. The other process
finds the device the way every run does, and multiplies a small matrix there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from snellen.devices.system import System
from snellen.errors import SnellenError

SECONDS = 120.0  # torch and the stack of an accelerator take long to load, the first time above all
SIDE = 64
_MARK = "snellen.devices.probe "  # what drivers print on stdout does not begin like this


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    error: str = ""  # "": the device answers
    todo: str = ""
    simulated: bool = False
    described: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether a run would find this device and could compute on it."""
        return not self.error


def ask(name: str, system: System) -> Answer:
    """Ask the device of that name."""
    done = system.run([sys.executable, "-m", __name__, name], SECONDS)
    for line in done.text.splitlines():
        if line.startswith(_MARK):
            return Answer(**json.loads(line.removeprefix(_MARK)))
    ended = f"ended with signal {-done.code}" if done.code is not None and done.code < 0 else "did not answer"
    return Answer(
        error=f"asked in a process of its own, {name} {ended}: {done.said}",
        todo=f"see why: python -m {__name__} {name}",
    )


def answer(name: str) -> dict[str, Any]:
    """Return what ``Answer`` is made of, for a device looked for in this process."""
    from snellen.devices import resolve

    try:
        device = resolve(name)
        wrong = _compute(device.torch_name)
        return {"error": wrong, "simulated": device.simulated, "described": device.describe()}
    except SnellenError as error:
        return {"error": error.seen, "todo": error.todo}
    except Exception as error:  # noqa: BLE001  (whatever a driver's stack raises is the answer)
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"}


def _compute(name: str) -> str:
    """Multiply a matrix of ones on the device; return what was wrong with the product, if anything was."""
    import torch

    ones = torch.ones(SIDE, SIDE, device=name)
    product = (ones @ ones).to("cpu")
    return "" if bool((product == SIDE).all()) else f"{name} multiplies ones by ones and gives {product.flatten()[:4]}"


if __name__ == "__main__":
    sys.stdout.write(f"\n{_MARK}{json.dumps(answer(sys.argv[1]))}\n")
