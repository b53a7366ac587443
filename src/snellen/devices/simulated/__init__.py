"""A simulated NPU: what snellen does on an accelerator, run and tested on a machine without one.

It is registered under torch's own name ``npu`` and is found the way a real one is found. Its tensors hold no numbers
that the host can read: every operator is queued, computed on the CPU when somebody waits, and the numbers come out as
such hardware gives them: sums in another order, operands of fewer bits where a switch or the settings say so, no
double precision, operators that are missing. It has a memory of its own, and faults can be injected.

In: ``Settings``, or the environment variable ``SNELLEN_SIMULATE``. Out: ``torch.device("npu:0")`` works, and
``torch_npu`` can be imported, in this process. Importing this package does nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from snellen.devices.simulated.machine import MACHINE
from snellen.devices.simulated.settings import VARIABLE, Fault, Settings, parse
from snellen.devices.simulated.statistics import Statistics

__all__ = ["VARIABLE", "Fault", "Settings", "Statistics", "configured", "from_environment", "settings", "start"]
__all__ += ["started", "statistics", "stop"]


def start(settings: Settings | None = None) -> None:
    """Put the simulated NPU into this process, or give the one that is there other settings.

    Its counters start anew. Raises UsageError where a real torch_npu is installed or another device already has
    torch's one place for a backend of somebody's own.
    """
    from snellen.devices.simulated.register import register

    chosen = settings or Settings()
    register()
    MACHINE.configure(chosen)


def stop() -> None:
    """Take the stand-in for torch_npu away again, and forget settings and switches.

    torch keeps the name ``npu``, which cannot be taken back; ``start`` brings the rest back.
    """
    if MACHINE.registered:
        from snellen.devices.simulated.package import remove

        remove()
        MACHINE.reset()


def started() -> bool:
    """Tell whether torch_npu is simulated in this process."""
    return MACHINE.registered and "torch_npu" in sys.modules


def settings() -> Settings:
    """Return what the simulated NPU is set to."""
    return MACHINE.settings


def statistics() -> Statistics:
    """Return what has been counted since the settings last changed."""
    return MACHINE.counts.snapshot()


@contextmanager
def configured(settings: Settings) -> Iterator[None]:
    """Start with other settings, and put the former ones (and the switches) back afterwards."""
    former, options = MACHINE.settings, dict(MACHINE.options)
    start(settings)
    try:
        yield
    finally:
        MACHINE.options = options
        MACHINE.configure(former)


def from_environment(environment: Mapping[str, str] | None = None) -> bool:
    """Start as SNELLEN_SIMULATE says, and tell whether it says anything; one that runs already keeps its settings.

    ``npu``, or ``npu:`` and settings: ``npu:arithmetic=hf32,devices=1,missing=aten::gelu+aten::erf``.
    Raises UsageError for what cannot be read.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if not text:
        return False
    chosen = parse(text)
    if not started():
        start(chosen)
    return True
