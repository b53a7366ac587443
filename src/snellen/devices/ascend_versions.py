"""Whether torch, torch_npu and CANN go together, and whether CANN's environment is set.

In: ``System``, the installations of CANN, and how bad it is that one is missing. Out: findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from snellen.devices import cann
from snellen.devices.cann import DOWNLOADS, HOME, OPERATORS, Cann
from snellen.devices.system import System
from snellen.records.doctor import Finding, Severity

PACKAGE = "torch_npu"
TABLE = "https://gitcode.com/Ascend/pytorch (COMPATIBILITY.md)"


def findings(system: System, canns: Sequence[Cann], grave: Severity) -> Iterator[Finding]:
    """Say what is installed, what is not set, and what does not go together."""
    used = cann.in_use(system)
    first = used or next(iter(canns), None)
    if first is None:
        yield _none(system, grave)
    else:
        yield _sourced(system, first, grave if used is None else None)
    package, torch = system.version(PACKAGE), system.version("torch")
    if package is None or torch is None:
        return
    yield _torch(package, torch, grave)
    if first is not None and first.version is not None:
        yield _pair(package, first.version)


def _none(system: System, grave: Severity) -> Finding:
    home = system.environ.get(HOME)
    return Finding(
        name="npu.cann",
        severity=grave,
        seen=f"no CANN below /{cann.DEFAULT} or {system.home / 'Ascend'}"
        + (f", and {HOME}={home} is none" if home else f"; {HOME} is not set"),
        matters="torch_npu is built on CANN and does not load without it",
        mend=f"install the CANN toolkit and the operators of your chip: {DOWNLOADS}",
    )


def _sourced(system: System, first: Cann, grave: Severity | None) -> Finding:
    """Say whether the environment of this CANN is set; ``grave`` is None where it points to it."""
    unset = [name for name in (HOME, OPERATORS) if not system.environ.get(name)]
    version = f"CANN {first.version}" if first.version else "CANN"
    if unset or grave is not None:
        what = f"{' and '.join(unset)} not set" if unset else f"{HOME}={system.environ[HOME]} is no CANN"
        return Finding(
            name="npu.environment",
            severity=grave or "warning",
            seen=f"{version} lies in {first.home}, and {what}",
            matters="torch_npu finds neither its libraries (libhccl.so) nor its operators",
            mend=f"source {first.script}" if first.script else "source the set_env.sh of CANN",
        )
    if first.version is None:
        return Finding(
            name="npu.cann",
            severity="note",
            seen=f"no file in {first.home} tells the version of CANN",
            matters="whether it goes with torch_npu cannot be said",
            mend=f"ls {first.home}/*-linux/ascend_*_install.info {first.home}/version.cfg",
        )
    return Finding(name="npu.cann", severity="fine", seen=f"{version} in {first.home}")


def _torch(package: str, torch: str, grave: Severity) -> Finding:
    made_for, there = _release(package), _release(torch)
    if made_for == there:
        return Finding(name="npu.torch", severity="fine", seen=f"torch_npu {package} and torch {torch}")
    return Finding(
        name="npu.torch",
        severity="stop" if made_for[:2] != there[:2] else grave,
        seen=f"torch_npu {package} beside torch {torch}",
        matters="torch_npu is compiled for the torch whose version it carries, and for no other",
        mend=f"pip install torch=={'.'.join(map(str, made_for))} torch_npu=={package}",
    )


def _pair(package: str, version: str) -> Finding:
    """Compare a CANN with the one that this torch_npu was released with."""
    name, pair = "npu.pair", cann.released_with(package)
    if pair is None:
        return Finding(
            name=name,
            severity="note",
            seen=f"torch_npu {package} is not in the table that doctor knows (up to {next(iter(cann.RELEASED_WITH))})",
            matters=f"whether it goes with CANN {version} has to be looked up",
            mend=TABLE,
        )
    wanted, listed = pair
    beside = "" if listed == package.partition("+")[0] else f" (for {listed}, the last one listed before it)"
    have, want = cann.rank(version), cann.rank(wanted)
    if have is None or want is None:
        severity: Severity = "note"
        seen, matters = f"CANN {version} is no released version", f"torch_npu {package} came with CANN {wanted}{beside}"
    elif have < want:
        severity = "warning"
        seen = f"CANN {version} is older than the {wanted} that torch_npu {package} was released with{beside}"
        matters = "operators may be missing, or fail when they are first used"
    elif have[:2] > want[:2]:
        severity = "note"
        seen = f"CANN {version} is newer than the {wanted} that torch_npu {package} was released with{beside}"
        matters = "newer releases of CANN run older torch_npu as a rule, but were not released together"
    else:
        return Finding(name=name, severity="fine", seen=f"CANN {version} with torch_npu {package}{beside}")
    mend = f"install CANN {wanted}: {DOWNLOADS}"
    return Finding(name=name, severity=severity, seen=seen, matters=matters, mend=mend)


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers a version begins with: 2.9.0 of 2.9.0.post2+cpu."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0].partition(".post")[0])[:3]))
