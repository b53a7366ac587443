"""What ``snellen doctor`` found: what is here, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SCHEMA = "snellen.doctor/1"

Severity = Literal["fine", "note", "warning", "stop"]
"""``fine``: as it should be. ``note``: worth knowing. ``warning``: costs speed or memory, or will bite one day.
``stop``: something that was asked about does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what was seen, why it matters, and the command that mends it."""

    name: str  # "npu.cann", "cpu.threads": the part before the point groups findings
    severity: Severity
    seen: str
    matters: str = ""
    mend: str = ""  # a command, or what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorRecord:
    """One look at a machine."""

    findings: tuple[Finding, ...]
    facts: dict[str, Any]  # versions, devices, folders: what a bug report should carry
    started_at: str  # UTC, ISO 8601
    version: str  # of snellen

    @property
    def exit_code(self) -> int:
        """Return 1 where something would stop a run, else 0."""
        return int(any(finding.severity == "stop" for finding in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": SCHEMA, **asdict(self)}
