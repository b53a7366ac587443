"""A look at the NVIDIA GPUs of a machine: driver, CUDA, torch's own CUDA, what hides the GPUs, who uses them.

In: ``System``. Out: ``Looked``. ``nvidia-smi`` is asked for tables with headers, which are read by these headers; its
page for people is looked at for the newest CUDA that the driver runs, which no table has. AMD GPUs, which torch calls
cuda too, are known here only by whether they answer.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from snellen.devices import cards
from snellen.devices.cards import Card, Kind, Looked, Process
from snellen.devices.probe import Answer, ask
from snellen.devices.system import Output, System
from snellen.records.doctor import Finding, Severity

KIND = Kind(name="cuda", plural="GPUs", variable="CUDA_VISIBLE_DEVICES", tool="nvidia-smi")
SECONDS = 20.0
ASKED = ("index", "uuid", "name", "driver_version", "memory.total", "memory.used")
_CUDA = re.compile(r"CUDA (?:UMD )?Version\s*:\s*(\d+\.\d+)")
_BUILD = re.compile(r"\+cu(\d+)(\d)$")  # of torch: 2.9.0+cu128


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What is here of the GPUs' stack."""

    system: System
    index: int | None
    smi: Output
    cards: tuple[Card, ...] = ()
    driver: str | None = None
    newest: str | None = None  # CUDA that the driver runs
    unread: str = ""
    answer: Answer = field(default_factory=Answer)

    @property
    def grave(self) -> Severity:
        return "warning" if self.answer.ok else "stop"


def look(system: System, index: int | None, *, asked: bool) -> Looked:
    """Look at the GPUs; ``asked``: a run shall take place on one, so that what is missing stops it."""
    seen = _seen(system, index)
    node = system.at("proc/driver/nvidia").exists() or system.at("dev/nvidia0").exists()
    there = bool(seen.cards) or bool(seen.unread) or node
    if not (asked or there):
        return Looked()
    name = f"cuda:{index or 0}"
    seen.answer = ask(name, system)
    findings = [cards.answered(KIND, name, seen.answer)]
    if there or not seen.answer.ok:
        findings += [*_driver(seen), *_cards(seen), *_torch(seen), *_settings(system)]
    return Looked(
        findings=tuple(findings), there=there, facts={"cards": cards.facts(seen.cards)}, stack=stack(system, seen)
    )


def stack(system: System, seen: _Seen | None = None) -> dict[str, str]:
    """Return the versions of the driver, of the newest CUDA it runs and of torch's CUDA, those that can be found."""
    seen = seen or _seen(system, None)
    build = _built_for(system, seen.answer)
    found = {"driver": seen.driver, "driver_cuda": seen.newest, "torch_cuda": build}
    return {name: version for name, version in found.items() if version}


def gpus(text: str) -> tuple[tuple[Card, ...], str | None]:
    """Read the table of GPUs; return them and the driver's version. Raises ValueError: what could not be read."""
    rows = _table(text, ASKED)
    found = tuple(
        Card(
            index=int(row["index"]),
            label=f"GPU {row['index']}",
            name=row["name"],
            uuid=row["uuid"],
            used_mib=_mib(row["memory.used"]),
            total_mib=_mib(row["memory.total"]),
        )
        for row in rows
    )
    return found, rows[0]["driver_version"] if rows else None


def processes(text: str) -> dict[str, list[Process]]:
    """Read the table of processes: by the GPU's uuid. Raises ValueError: what could not be read."""
    found: dict[str, list[Process]] = {}
    for row in _table(text, ("gpu_uuid", "pid", "process_name", "used_gpu_memory")):
        process = Process(pid=int(row["pid"]), name=row["process_name"], mib=_mib(row["used_gpu_memory"]))
        found.setdefault(row["gpu_uuid"], []).append(process)
    return found


def _seen(system: System, index: int | None) -> _Seen:
    smi = system.run(["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv"], SECONDS)
    seen = _Seen(system=system, index=index, smi=smi)
    if smi.code != 0:
        return seen
    users = system.run(
        ["nvidia-smi", "--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv"], SECONDS
    )
    try:
        found, seen.driver = gpus(smi.text)
        using = processes(users.text) if users.code == 0 else {}
    except ValueError as error:
        seen.unread = str(error)
        return seen
    seen.newest = _newest(system)
    seen.cards = tuple(replace(card, processes=tuple(using.get(card.uuid, ()))) for card in found)
    return seen


def _driver(seen: _Seen) -> Iterator[Finding]:
    """Say what nvidia-smi tells of the driver, or why it tells nothing."""
    name = "cuda.driver"
    if seen.cards:
        text = f"{len(seen.cards)} x {seen.cards[0].name}, driver {seen.driver}"
        yield Finding(name=name, severity="fine", seen=text + (f", up to CUDA {seen.newest}" if seen.newest else ""))
    elif seen.unread:
        yield Finding(
            name=name,
            severity="note",
            seen=f"what nvidia-smi prints could not be read: {seen.unread}",
            matters="memory and processes of the GPUs are not known here",
            mend="nvidia-smi",
        )
    else:
        mismatch = "version mismatch" in seen.smi.said
        yield Finding(
            name=name,
            severity=seen.grave,
            seen=seen.smi.by("nvidia-smi"),
            matters="the driver was changed and the old one is still loaded"
            if mismatch
            else "without its driver no GPU is reached; a container needs --gpus all",
            mend="sudo reboot" if mismatch else "install the driver of NVIDIA, or reboot after a change of kernel",
        )


def _cards(seen: _Seen) -> Iterator[Finding]:
    """Say which GPUs a process sees, and what goes on there."""
    count = len(seen.cards)
    if not count:
        return
    text = seen.system.environ.get(KIND.variable)
    if text is not None and "MIG-" in text:
        yield Finding(
            name="cuda.visible",
            severity="note",
            seen=f"{KIND.variable}={text}",
            matters="parts of a GPU (MIG) are not looked at here, only whether the first one computes",
            mend="nvidia-smi -L",
        )
        return
    left = cards.chosen(text, count, _named(seen.cards))
    yield from cards.visible(KIND, left, count, seen.index, (text, seen.grave))
    yield from cards.memory(KIND, seen.cards, left.indices)


def _named(found: Sequence[Card]) -> cards.Named:
    """Read an entry of the variable as CUDA does: an index, or the beginning of a uuid that one GPU alone has."""

    def named(entry: str) -> int | None:
        text = entry.strip()
        if text.isdecimal():
            return int(text) if int(text) < len(found) else None
        fits = [card.index for card in found if text.startswith("GPU-") and card.uuid.startswith(text)]
        return fits[0] if len(fits) == 1 else None

    return named


def _torch(seen: _Seen) -> Iterator[Finding]:
    """Say whether this build of torch has CUDA, and one that the driver runs."""
    version, build = seen.system.version("torch"), _built_for(seen.system, seen.answer)
    newest = seen.newest
    if version is None:
        return
    if version.endswith("+cpu"):
        yield Finding(
            name="cuda.torch",
            severity=seen.grave,
            seen=f"torch {version} was built without CUDA",
            matters="it sees no GPU, whatever is here",
            mend="install the build of torch for CUDA" + (f" {newest} or before" if newest else "") + ": pytorch.org",
        )
    elif build is not None and newest is not None:
        older = int(build.partition(".")[0]) > int(newest.partition(".")[0])
        yield Finding(
            name="cuda.torch",
            severity=seen.grave if older else "fine",
            seen=f"torch {version}, built for CUDA {build}" + (f"; the driver runs up to {newest}" if older else ""),
            matters="a driver runs no CUDA of a later generation than its own" if older else "",
            mend=f"update the driver, or install the build of torch for CUDA {newest} or before" if older else "",
        )


def _settings(system: System) -> Iterator[Finding]:
    if system.environ.get("CUDA_LAUNCH_BLOCKING") == "1":
        yield Finding(
            name="cuda.variables",
            severity="warning",
            seen="CUDA_LAUNCH_BLOCKING=1",
            matters="every kernel is waited for",
            mend="unset CUDA_LAUNCH_BLOCKING",
        )
    override = system.environ.get("NVIDIA_TF32_OVERRIDE")
    if override is not None:
        yield Finding(
            name="cuda.variables",
            severity="note",
            seen=f"NVIDIA_TF32_OVERRIDE={override}",
            matters="it decides over torch's own switches whether float32 is multiplied in TF32",
            mend="unset NVIDIA_TF32_OVERRIDE",
        )


def _newest(system: System) -> str | None:
    """Return the newest CUDA that the driver runs, from the title of nvidia-smi's page."""
    found = _CUDA.search(system.run(["nvidia-smi"], SECONDS).text)
    return found[1] if found else None


def _built_for(system: System, answer: Answer) -> str | None:
    """Return torch's CUDA: as torch itself says, or as the name of its build does."""
    told = answer.described.get("cuda")
    if told:
        return str(told)
    found = _BUILD.search(system.version("torch") or "")
    return f"{found[1]}.{found[2]}" if found else None


def _table(text: str, wanted: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header such as "index, memory.used [MiB]"; raise ValueError for any other."""
    rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if row]
    header = [cell.partition(" [")[0] for cell in rows[0]] if rows else []
    if sorted(header) != sorted(wanted):
        raise ValueError(f"its header is {', '.join(header)!r}, and not {', '.join(wanted)!r}")
    odd = [row for row in rows[1:] if len(row) != len(header)]
    if odd:
        raise ValueError(f"the line {', '.join(odd[0])!r} has {len(odd[0])} columns, and its header {len(header)}")
    found = [dict(zip(header, row, strict=True)) for row in rows[1:]]
    numbers = [row.get(key, "0") for row in found for key in ("index", "pid")]
    if not all(number.isdecimal() for number in numbers):
        raise ValueError("there is no number where there should be one")
    return found


def _mib(text: str) -> int | None:
    """Return what "370 MiB" says; None for "[N/A]" and whatever else is no such figure."""
    found = re.fullmatch(r"(\d+) MiB", text.strip())
    return int(found[1]) if found else None
