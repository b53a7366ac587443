"""Environment variables that slow an NPU down or spoil what is printed, and messages of its stack that mean no harm.

In: ``System``. Out: findings.
"""

from __future__ import annotations

from collections.abc import Iterator

from snellen.devices.system import System
from snellen.records.doctor import Finding, Severity

_SLOW: dict[str, tuple[tuple[str, ...], Severity, str, str]] = {
    "TASK_QUEUE_ENABLE": (
        ("0",),
        "warning",
        "without its queue every operator waits for the host before it",
        "export TASK_QUEUE_ENABLE=2",
    ),
    "ASCEND_LAUNCH_BLOCKING": (
        ("1",),
        "warning",
        "every operator is waited for, and TASK_QUEUE_ENABLE counts for nothing",
        "unset ASCEND_LAUNCH_BLOCKING",
    ),
    "ASCEND_GLOBAL_LOG_LEVEL": (("0", "1"), "warning", "CANN logs every call", "export ASCEND_GLOBAL_LOG_LEVEL=3"),
    "ASCEND_SLOG_PRINT_TO_STDOUT": (
        ("1",),
        "warning",
        "CANN writes its log to stdout, between the data that are printed there",
        "export ASCEND_SLOG_PRINT_TO_STDOUT=0",
    ),
    "TORCH_NPU_DISABLED_WARNING": (
        ("1",),
        "note",
        "torch_npu does not tell which operators run on the CPU instead",
        "unset TORCH_NPU_DISABLED_WARNING",
    ),
}
"""Variable -> values, how bad they are, why, and what mends it. Sources: the references of environment variables of
Ascend Extension for PyTorch 7.1 (TASK_QUEUE_ENABLE, ASCEND_LAUNCH_BLOCKING) and CANN 8.2 (the logs) at hiascend.com."""


def findings(system: System) -> Iterator[Finding]:
    """Say which variables do harm, which choose, and which messages do none."""
    yield from _settings(system)
    yield from _harmless(system)


def _settings(system: System) -> Iterator[Finding]:
    for name, (bad, severity, matters, mend) in _SLOW.items():
        value = system.environ.get(name)
        if value is not None and value in bad:
            seen = f"{name}={value}"
            yield Finding(name="npu.variables", severity=severity, seen=seen, matters=matters, mend=mend)
    given = system.environ.get("ASCEND_VISIBLE_DEVICES")
    if given is not None:
        yield Finding(
            name="npu.variables",
            severity="note",
            seen=f"ASCEND_VISIBLE_DEVICES={given}",
            matters="it chose the NPUs of this container when that was started; no program reads it",
            mend="to choose among those that are here: export ASCEND_RT_VISIBLE_DEVICES=0",
        )
    conf = system.environ.get("PYTORCH_NPU_ALLOC_CONF")
    if conf is not None:
        yield Finding(
            name="npu.variables",
            severity="note",
            seen=f"PYTORCH_NPU_ALLOC_CONF={conf}",
            matters="it decides how device memory is cut up, and with it the largest batch and the peaks that are told",
            mend="unset PYTORCH_NPU_ALLOC_CONF",
        )


def _harmless(system: System) -> Iterator[Finding]:
    folder = system.environ.get("ASCEND_PROCESS_LOG_PATH")
    logs = system.at(folder) if folder else system.home / "ascend" / "log"
    if not system.writable(logs):
        yield Finding(
            name="npu.log",
            severity="note",
            seen=f"CANN cannot create its log folder {logs}",
            matters=f"it then says 'can not create directory {logs}', which does no harm",
            mend="export ASCEND_PROCESS_LOG_PATH=/tmp/ascend-log",
        )
    yield Finding(
        name="npu.messages",
        severity="fine",
        seen="harmless when printed: 'Device do not support double dtype now, dtype cast replace with float' "
        "(float64 is refused here before it comes to that)",
    )
