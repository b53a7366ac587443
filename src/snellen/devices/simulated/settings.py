"""What the simulated NPU can be set to: its arithmetic, its size, what it lacks, what goes wrong on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal, get_args

from snellen.errors import UnknownName, UsageError

VARIABLE = "SNELLEN_SIMULATE"

Arithmetic = Literal["float32", "hf32", "float16", "bfloat16"]
Kind = Literal["nan", "stale", "noise", "scale", "row", "accumulate_float16", "silent_fallback", "swap_batch"]
GROUPS = ("matmul", "convolution", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, in the results of one operator.

    ``nan``                 one number of the result is NaN
    ``stale``               the result is the one before of the same shape; the first call has none and is left alone
    ``noise``               every number is off by about ``size`` of itself, differently in every run
    ``scale``               the result is multiplied by 1 + ``size``
    ``row``                 one row of the first axis is off by about ``size`` of its own scale, always in the same way
    ``accumulate_float16``  the partial sums of a matrix product or convolution are rounded to float16
    ``silent_fallback``     the CPU's own operator computes the result, and no warning tells
    ``swap_batch``          the first two rows of the first axis change places

    ``operator``: torch's name without the overload ("aten::gelu"), or "matmul", "convolution" or "any". ``call``
    counts the calls of that operator from 0 since the settings changed; None: in every call. ``every``: after
    ``call``, again at each so many calls (a model of 12 blocks calls gelu 12 times in a run).
    """

    kind: Kind
    operator: str
    call: int | None = None
    every: int = 0
    size: float = 1e-3
    row: int | None = None  # None: drawn with the seed
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownName("fault", self.kind, get_args(Kind), todo=f"one of {', '.join(get_args(Kind))}")
        if self.operator not in GROUPS:
            _check_operator(self.operator, "a fault's operator")

    def due(self, call: int) -> bool:
        """Tell whether the fault strikes in this call, counted from 0."""
        if self.call is None or call == self.call:
            return True
        return bool(self.every) and call > self.call and (call - self.call) % self.every == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the simulated NPU is.

    ``arithmetic``: what the operands of matrix products and convolutions are rounded to; None: what the switches say,
    as on Ascend (convolutions in hf32 unless told otherwise). ``missing``: operators that the CPU has to compute, with
    torch_npu's warning. ``launch_seconds``: what every operator takes at least.
    """

    arithmetic: Arithmetic | None = None
    devices: int = 2
    memory_bytes: int = 64 * 2**30
    missing: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    launch_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.arithmetic is not None and self.arithmetic not in get_args(Arithmetic):
            known = get_args(Arithmetic)
            raise UnknownName("arithmetic", self.arithmetic, known, todo=f"one of {', '.join(known)}")
        if self.devices < 1 or self.memory_bytes < 1 or self.launch_seconds < 0:
            raise UsageError(
                f"a simulated npu of {self.devices} devices, {self.memory_bytes} bytes and {self.launch_seconds} s",
                expected="at least one device and one byte, and no negative time",
                todo="leave the settings out to have 2 devices of 64 GiB",
            )
        for name in self.missing:
            _check_operator(name, "a missing operator")


def parse(text: str) -> Settings:
    """Read ``npu`` or ``npu:key=value,key=value``; several operators are joined by ``+``.

    Raises UsageError for anything else.
    """
    kind, _, rest = text.partition(":")
    if kind != "npu":
        raise UsageError(
            f"{VARIABLE} is {text!r}: {kind!r} cannot be simulated", expected="npu", todo=f"{VARIABLE}=npu"
        )
    known = [field.name for field in fields(Settings) if field.name != "faults"]
    given: dict[str, str] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in known:
            raise UnknownName(f"setting of {VARIABLE}", key, known, todo=f"one of {', '.join(known)}")
        given[key] = value
    return _settings(given)


def _settings(given: dict[str, str]) -> Settings:
    default = Settings()
    arithmetic = given.get("arithmetic")
    if arithmetic is not None and arithmetic not in get_args(Arithmetic):
        known = get_args(Arithmetic)
        raise UnknownName("arithmetic", arithmetic, known, todo=f"one of {', '.join(known)}")
    try:
        return Settings(
            arithmetic=arithmetic,  # type: ignore[arg-type] # checked above
            devices=int(given.get("devices", default.devices)),
            memory_bytes=int(given.get("memory_bytes", default.memory_bytes)),
            missing=tuple(filter(None, given.get("missing", "").split("+"))),
            launch_seconds=float(given.get("launch_seconds", default.launch_seconds)),
        )
    except ValueError as error:
        raise UsageError(
            f"{VARIABLE} holds something that is not a number: {error}",
            expected="whole numbers for devices and memory_bytes, seconds for launch_seconds",
            todo=f"{VARIABLE}=npu:devices=1,memory_bytes=1000000000",
        ) from error


def _check_operator(name: str, what: str) -> None:
    if not re.fullmatch(r"[a-z_0-9]+::[A-Za-z_0-9]+", name):
        raise UsageError(
            f"{what} is {name!r}", expected="torch's name without the overload", todo="write it as aten::gelu"
        )
