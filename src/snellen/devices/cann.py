"""CANN on the disk, without any of it: where it lies, its version, whether its environment is set, what it goes with.

In: ``System``. Out: ``Cann`` for each installation, and the CANN that a version of torch_npu was released with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snellen.devices.system import System

HOME, OPERATORS = "ASCEND_HOME_PATH", "ASCEND_OPP_PATH"
DEFAULT = "usr/local/Ascend"
DOWNLOADS = "https://www.hiascend.com/cann/download"

RELEASED_WITH = {
    "2.12.0": "9.1.0",
    "2.11.0": "9.1.0",
    "2.10.0.post4": "9.1.0",
    "2.10.0": "9.0.0",
    "2.9.0.post6": "9.1.0",
    "2.9.0.post2": "9.0.0",
    "2.9.0": "8.5.0",
    "2.8.0.post4": "9.0.0",
    "2.8.0.post2": "8.5.0",
    "2.8.0": "8.3.RC1",
    "2.7.1.post8": "9.1.0",
    "2.7.1.post4": "9.0.0",
    "2.7.1.post2": "8.5.0",
    "2.7.1": "8.3.RC1",
    "2.6.0.post5": "8.5.0",
    "2.6.0.post3": "8.3.RC1",
    "2.6.0": "8.2.RC1",
}
"""Version of torch_npu -> CANN. Source: COMPATIBILITY.md of TorchNPU (gitcode.com/Ascend/pytorch) as of its branch
26.1.0, and the table of releasenote_0003 in hiascend.com/document/detail/zh/Pytorch/720, which agree where they meet.
releasenote_0005 there lists 7.2.0 (torch_npu 2.8.0) as compatible with CANN 8.0.RC2 to 8.3.RC1: another CANN than the
one in the table need not fail, and is no more than a warning."""

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.RC(\d+)|\.(\d+))", re.IGNORECASE)
_RUNNING = re.compile(r"\[[^:\]]*:([^\]]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cann:
    """One installation."""

    home: Path
    version: str | None  # None: no file there tells it
    script: Path | None  # that sets its environment


def installed(system: System) -> list[Cann]:
    """Return every CANN that is found where it is installed by default, the one in use first."""
    found: dict[Path, Cann] = {}
    for home in _candidates(system):
        if home.is_dir() and home.resolve() not in found:
            version, script = _version(system, home), _script(home)
            if version or script:
                found[home.resolve()] = Cann(home=home, version=version, script=script)
    return list(found.values())


def in_use(system: System) -> Cann | None:
    """Return the CANN that the environment points to; None where it points nowhere, or to no CANN."""
    at = system.environ.get(HOME)
    if not at:
        return None
    home = system.at(at)
    return Cann(home=home, version=_version(system, home), script=_script(home)) if home.is_dir() else None


def released_with(package: str) -> tuple[str, str] | None:
    """Return the CANN in the table for a version of torch_npu, and the version it stands beside there, or before it.

    None: the table has nothing of that release of torch, or only later versions.
    """
    plain = package.partition("+")[0]
    if plain in RELEASED_WITH:
        return RELEASED_WITH[plain], plain
    base, post = _post(plain)
    before = [known for known in RELEASED_WITH if _post(known)[0] == base and _post(known)[1] < post]
    if not before:
        return None
    nearest = max(before, key=lambda known: _post(known)[1])
    return RELEASED_WITH[nearest], nearest


def rank(version: str) -> tuple[int, int, bool, int] | None:
    """Return what versions of CANN are ordered by, 8.3.RC1 before 8.3.0; None for builds that were never released."""
    found = _VERSION.match(version)
    if found is None:
        return None
    major, minor, candidate, final = found.groups()
    return int(major), int(minor), candidate is None, int(candidate or final)


def _post(version: str) -> tuple[str, int]:
    base, _, post = version.partition(".post")
    return base, int(post) if post.isdigit() else 0


def _candidates(system: System) -> Iterator[Path]:
    for variable in (HOME, "ASCEND_TOOLKIT_HOME"):
        if system.environ.get(variable):
            yield system.at(system.environ[variable])
    for base in (system.at(DEFAULT), system.home / "Ascend", *_told_by_the_driver(system)):
        yield base / "cann"
        yield base / "ascend-toolkit" / "latest"
        yield from sorted(base.glob("cann-*"), reverse=True)
        yield from sorted((path for path in (base / "ascend-toolkit").glob("[0-9]*")), reverse=True)


def _told_by_the_driver(system: System) -> Iterator[Path]:
    path = system.settings(system.at("etc/ascend_install.info")).get("Driver_Install_Path_Param")
    if path:
        yield system.at(path)


def _version(system: System, home: Path) -> str | None:
    """Read the version from the first of the files that tell it."""
    own = f"{system.machine}-linux"
    places = sorted(home.glob("*-linux/ascend_*_install.info"), key=lambda path: (path.parent.name != own, path.name))
    for wanted in ("ascend_toolkit_install.info", "ascend_all_cann_install.info", "ascend_nnrt_install.info"):
        for path in places:
            if path.name == wanted and (version := system.settings(path).get("version")):
                return version
    running = system.settings(home / "version.cfg")
    for key in ("toolkit_running_version", "runtime_running_version"):
        found = _RUNNING.match(running.get(key, ""))
        if found:
            return found[1]
    return None


def _script(home: Path) -> Path | None:
    """Return the script to source: beside the toolkit's versions up to 8.3, within the folder of a version since."""
    for path in (home / "set_env.sh", home.parent / "set_env.sh"):
        if path.is_file():
            return path
    return None
