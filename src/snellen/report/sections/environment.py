"""Where it ran: the device, the machine, the software, and what was set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snellen.records.report import Environment, ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import joined, named, rows, yes
from snellen.report.sections.parts import Name, Paragraph, Part, Say, Section, Table, Text, headed, word

SHOWN = frozenset({"name", "kind", "product", "total_bytes", "memory", "simulated"})
"""What a device says of itself that has a row of its own here."""
MEMORY = {"total": "memory_total", "free": "memory_free", "peak": "memory_peak"}


def environment(record: ReportRecord) -> Section:
    """Return where it ran."""
    return Section("environment", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    around = record.environment
    yield Table("environment", headed("what", "value"), (*rows(_device(around)), *_rest(around), *rows(_host(record))))
    yield Table("packages", headed("package", "version"), _pairs(around.packages))
    if around.stack:
        yield Table("stack", headed("software", "version"), _pairs(around.stack))
    elif around.device.get("kind") != "cpu":
        yield Paragraph(Text("stack.unknown"))
    if around.variables:
        yield Table("variables", headed("variable", "value"), _pairs(around.variables))
    switches = tuple(_switches(record))
    if switches:
        yield Table("switches", headed("switch", "value", "strict", "is_strict"), switches)
    if around.findings:
        keys = ("name", "severity", "seen", "matters", "mend")
        found = tuple(
            (
                named(one.get("name")),
                word("severity", str(one.get("severity"))),
                *(str(one.get(k, "")) for k in keys[2:]),
            )
            for one in around.findings
        )
        yield Table("findings", headed(*keys), found)


def _device(around: Environment) -> Iterator[tuple[str, Say]]:
    device = around.device
    yield "device", named(device.get("name"))
    yield "product", str(device.get("product") or f.NONE)
    yield "simulated", yes(bool(device.get("simulated")))
    yield "device_count", str(len(around.devices))
    yield "devices", joined([Name(one) for one in around.devices])
    held = device.get("memory") or {}
    known = {"total": device.get("total_bytes"), **held} if isinstance(held, Mapping) else {}
    for key, fact in MEMORY.items():
        if known.get(key) is not None:
            yield fact, f.gib(known[key])


def _rest(around: Environment) -> Iterator[tuple[Say, ...]]:
    """Yield what else the device says of itself, under the names it has in the record."""
    for key, value in around.device.items():
        if key not in SHOWN:
            yield Name(key), named(value)


def _host(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    around, candidate = record.environment, record.trial.candidate
    machine = around.machine
    yield "runtime", Name(" ".join(filter(None, (candidate.runtime, candidate.version))))
    yield "system", around.system
    yield "python", around.python
    yield "processor", str(machine.get("product") or f.NONE)
    yield "architecture", named(machine.get("architecture"))
    yield "cores", str(machine.get("cores") or f.NONE)
    yield "threads", str(machine.get("threads") or f.NONE)
    yield "flags", joined([Name(str(flag)) for flag in machine.get("flags") or ()])
    yield "host_memory", f.gib(machine.get("memory_bytes"))


def _switches(record: ReportRecord) -> Iterator[tuple[Say, ...]]:
    known = {switch.name: switch for switch in record.trial.candidate.switches}
    for switch in known.values():
        yield Name(switch.name), Name(switch.value), Name(switch.strict), yes(switch.value == switch.strict)
    for name, value in record.environment.switches.items():
        if name not in known:
            yield Name(name), Name(value), f.NONE, f.NONE


def _pairs(values: Mapping[str, str]) -> tuple[tuple[Say, ...], ...]:
    return tuple((Name(name), named(value)) for name, value in values.items())
