"""All looks in a row: packages, devices, the hub, the folders; one record.

In: a device or nothing. Out: ``DoctorRecord``.
"""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from typing import Any

from snellen._version import __version__
from snellen.devices import looks, variables
from snellen.devices.system import System
from snellen.doctor import folders, hub, packages
from snellen.records.doctor import DoctorRecord, Finding


def look(device: str | None = None, *, offline: bool = False, system: System | None = None) -> DoctorRecord:
    """Look at this machine; ``device``: what would stop a run there counts, else what would stop it anywhere here.

    ``offline``: ask no model hub. Raises UnknownName and UsageError for what is no device's name.
    """
    system = system or System()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    seen = looks.look(device, system)
    simulated = looks.simulated(system.environ) if device is None or device.startswith("npu") else ()
    of_packages, versions = packages.look(system)
    of_folders, places = folders.look(system)
    of_hub, asked = hub.look(offline=offline)
    findings = [*simulated, *of_packages]
    for one in seen.values():
        findings += one.findings
    if device is None and not any(one.there for name, one in seen.items() if name != "cpu"):
        findings.append(_no_accelerators(list(seen)))
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {system.machine}",
        "python": platform.python_version(),
        "device": device,
        "simulated": bool(simulated),
        "packages": versions,
        "devices": {name: one.facts for name, one in seen.items() if one.there},
        "stack": {name: one.stack for name, one in seen.items() if one.stack},
        "variables": _variables(system),
        "folders": places,
        "hub": asked,
    }
    return DoctorRecord(
        findings=(*findings, *of_hub, *of_folders), facts=facts, started_at=started, version=__version__
    )


def _no_accelerators(kinds: list[str]) -> Finding:
    looked = " or ".join(name for name in kinds if name != "cpu")
    return Finding(name="devices.accelerators", severity="fine", seen=f"none: nothing answers as {looked}")


def _variables(system: System) -> dict[str, str]:
    """Return every variable that decides how a run goes, where weights come from and where files are kept."""
    names = [name for kind in variables.DECIDING.values() for name in kind]
    return {name: hub.masked(value) for name, value in system.told([*names, *variables.FILES]).items()}
