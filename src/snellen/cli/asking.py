"""What commands that try or measure something share: options that do not go together, and dry runs.

In: what was asked for. Out: an error in three parts before anything is run, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from snellen.errors import UsageError


def apart(one: str, other: str, expected: str) -> NoReturn:
    """Refuse two parameters that were given together, by their names; ``expected``: what of the two."""
    first, second = (name.upper() if name == "model" else f"--{name.replace('_', '-')}" for name in (one, other))
    raise UsageError(f"{first} and {second} were both given", expected=expected, todo=f"leave {first} or {second} out")


def simulate(device: str, say: Callable[[str], None]) -> None:
    """Start the simulated device; refuse a dry run on anything else, or it would be a run that nobody wanted."""
    from snellen import devices
    from snellen.devices import simulated
    from snellen.report.terminal import SIMULATED

    if not simulated.from_environment():
        simulated.start()
    if not devices.resolve(device).simulated:
        raise UsageError(
            f"--simulate was given, and {device} is not simulated", expected="--device npu", todo="name it"
        )
    say(SIMULATED)
