"""A look at the Ascend NPUs of a machine: driver, CANN, torch_npu, how they go together, what hides or slows them.

In: ``System``. Out: ``Looked``. Nothing of CANN is loaded in this process: versions are read from files and from
``npu-smi``; whether a device computes is asked in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from snellen.devices import ascend_settings, ascend_versions, cann, cards, npu_smi
from snellen.devices.cann import DOWNLOADS, Cann
from snellen.devices.cards import Kind, Looked
from snellen.devices.npu_smi import Table
from snellen.devices.probe import Answer, ask
from snellen.devices.simulated import started
from snellen.devices.system import Output, System
from snellen.records.doctor import Finding, Severity

KIND = Kind(name="npu", plural="NPUs", variable="ASCEND_RT_VISIBLE_DEVICES", tool="npu-smi info")
TOOLS = ("npu-smi", "/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi")
SECONDS = 20.0
SIMULATE = "SNELLEN_SIMULATE"
PACKAGE = "torch_npu"


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What is here of an NPU's stack."""

    system: System
    index: int | None  # the NPU that was asked for
    smi: Output
    table: Table | None = None
    unread: str = ""  # why the table could not be read
    nodes: tuple[str, ...] = ()
    canns: list[Cann] = field(default_factory=list)
    answer: Answer = field(default_factory=Answer)

    @property
    def grave(self) -> Severity:
        """Return how bad it is that something is not as it should be: no stop where the device answers all the same."""
        return "warning" if self.answer.ok else "stop"

    @property
    def count(self) -> int:
        return len(self.table.cards) if self.table else len(self.nodes)


def look(system: System, index: int | None, *, asked: bool) -> Looked:
    """Look at the NPUs; ``asked``: a run shall take place on one, so that what is missing stops it."""
    seen = _seen(system, index)
    simulated = bool(system.environ.get(SIMULATE, "").strip()) or started()
    package = system.version(PACKAGE)
    there = seen.count > 0 or bool(seen.unread) or npu_smi.refused(seen.smi.text + seen.smi.errors) is not None
    if not (asked or there or simulated):
        return Looked(findings=tuple(_left_over(seen, package)), stack=stack(system, seen))
    name = f"npu:{index or 0}"
    missing = Answer(error="the package torch_npu is not installed", todo="pip install 'snellen[npu]'")
    if started():  # in this process, of which no other one knows
        seen.answer = Answer(simulated=True, described={"product": "simulated NPU"})
    else:
        seen.answer = ask(name, system) if package or simulated else missing
    findings = [cards.answered(KIND, name, seen.answer)]
    if not seen.answer.simulated:
        findings += [*_driver(seen), *_cards(seen)]
        findings += ascend_versions.findings(system, seen.canns, seen.grave)
        findings += ascend_settings.findings(system)
    known = {"cards": cards.facts(seen.table.cards) if seen.table else [], "nodes": list(seen.nodes)}
    known |= {"cann": [{"home": str(each.home), "version": each.version} for each in seen.canns]}
    return Looked(findings=tuple(findings), there=there or simulated, facts=known, stack=stack(system, seen))


def stack(system: System, seen: _Seen | None = None) -> dict[str, str]:
    """Return the versions of torch_npu, CANN, driver and firmware, those that can be found out."""
    seen = seen or _seen(system, None)
    used = cann.in_use(system) or next(iter(seen.canns), None)
    base = system.settings(system.at("etc/ascend_install.info")).get("Driver_Install_Path_Param", cann.DEFAULT)
    driver, firmware = (system.settings(system.at(base) / name / "version.info") for name in ("driver", "firmware"))
    told = seen.table.version if seen.table else None
    found = {
        "torch_npu": system.version(PACKAGE),
        "cann": used.version if used else None,
        "driver": told or driver.get("package_version") or driver.get("Version"),
        "firmware": _board(seen).get("Firmware Version") or firmware.get("Version"),
    }
    return {name: version for name, version in found.items() if version}


def _seen(system: System, index: int | None) -> _Seen:
    smi = _ask_tool(system, "info")
    nodes = sorted(path.name for path in system.at("dev").glob("davinci*") if re.fullmatch(r"davinci\d+", path.name))
    seen = _Seen(system=system, index=index, smi=smi, nodes=tuple(nodes), canns=cann.installed(system))
    if smi.code == 0:
        try:
            seen.table = npu_smi.table(smi.text)
        except ValueError as error:
            seen.unread = str(error)
    return seen


def _ask_tool(system: System, *words: str) -> Output:
    """Run npu-smi, which is not always on the path of a container."""
    for tool in TOOLS:
        done = system.run([tool, *words], SECONDS)
        if not done.missing:
            return done
    return Output(code=None, errors="npu-smi was not found", missing=True)


def _board(seen: _Seen) -> dict[str, str]:
    if seen.table is None or not seen.table.cards:
        return {}
    number = seen.table.cards[0].label.split()[1]
    return npu_smi.board(_ask_tool(seen.system, "info", "-t", "board", "-i", number).text)


def _left_over(seen: _Seen, package: str | None) -> Iterator[Finding]:
    """Say what is installed for an NPU where there is none."""
    parts = [f"torch_npu {package}"] if package else []
    parts += [f"CANN {each.version or 'of an unknown version'}" for each in seen.canns[:1]]
    if parts:
        yield Finding(
            name="npu.absent",
            severity="note",
            seen=f"{' and '.join(parts)} installed, and no NPU: {seen.smi.said}, nothing like /dev/davinci0",
            matters="a container sees only the NPUs that it was started with",
            mend="docker run --device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm "
            "--device /dev/hisi_hdc ...",
        )


def _driver(seen: _Seen) -> Iterator[Finding]:
    """Say what npu-smi tells of driver and firmware, or why it tells nothing."""
    name, code = "npu.driver", npu_smi.refused(seen.smi.text + seen.smi.errors)
    if seen.table is not None and seen.table.cards:
        board = _board(seen)
        version = f"{seen.count} x {seen.table.cards[0].name}, driver {seen.table.version or 'of an unknown version'}"
        version += f", firmware {board['Firmware Version']}" if "Firmware Version" in board else ""
        if board.get("Compatibility", "OK").upper() == "NOK":
            yield Finding(
                name=name,
                severity="warning",
                seen=f"{version}: npu-smi says that the two do not go together",
                matters="driver and firmware are released in pairs",
                mend=f"install the firmware of the driver's release: {DOWNLOADS}",
            )
        else:
            yield Finding(name=name, severity="fine", seen=version)
    elif code is not None:
        yield Finding(
            name=name,
            severity=seen.grave,
            seen=seen.smi.by("npu-smi"),
            matters=f"the driver let nobody in (code {code}): another container holds the NPUs, or this one was "
            "started without their devices, or only root may ask",
            mend="stop the other container, or start this one with --device /dev/davinci0 (and so on) --device "
            "/dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc",
        )
    elif seen.unread:
        yield Finding(
            name=name,
            severity="note",
            seen=f"what npu-smi prints could not be read: {seen.unread}",
            matters="memory, processes and health of the NPUs are not known here",
            mend="npu-smi info",
        )
    else:
        devices = ", ".join(seen.nodes[: cards.NAMED]) or "none"
        yield Finding(
            name=name,
            severity=seen.grave,
            seen=f"{seen.smi.by('npu-smi')}; devices in /dev: {devices}",
            matters="without its driver no NPU is reached",
            mend="install driver and firmware; in a container, mount /usr/local/bin/npu-smi, /usr/local/dcmi and "
            "/usr/local/Ascend/driver",
        )


def _cards(seen: _Seen) -> Iterator[Finding]:
    """Say which NPUs a process sees, and what goes on there."""
    if not seen.count:
        return
    text = seen.system.environ.get(KIND.variable)
    if text is not None and not text.strip():
        yield Finding(
            name="npu.visible",
            severity="warning",
            seen=f"{KIND.variable} is set, and to nothing",
            matters="whether that hides every NPU is not documented",
            mend=f"unset {KIND.variable}",
        )
        left = cards.chosen(None, seen.count, _number(seen.count))
    else:
        left = cards.chosen(text, seen.count, _number(seen.count))
        yield from cards.visible(KIND, left, seen.count, seen.index, (text, seen.grave))
    if list(left.indices) != sorted(left.indices):
        yield Finding(
            name="npu.visible",
            severity="warning",
            seen=f"{KIND.variable}={text} is not in ascending order",
            matters="CANN supports no other order",
            mend=f"export {KIND.variable}={','.join(map(str, sorted(left.indices)))}",
        )
    if seen.table is not None:
        yield from cards.health(KIND, seen.table.cards)
        yield from cards.memory(KIND, seen.table.cards, left.indices)


def _number(count: int) -> cards.Named:
    """Read an entry of the variable as CANN does: digits and nothing else, of an NPU that is there."""
    return lambda entry: int(entry) if re.fullmatch(r"[0-9]{1,4}", entry) and int(entry) < count else None
