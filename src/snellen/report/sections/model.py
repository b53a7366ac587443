"""What the encoder is: counted from its weights, its preprocessing step by step, the files it came from."""

from __future__ import annotations

from collections.abc import Iterator

from snellen.records.report import Facts, ReportRecord
from snellen.report.sections import figures as f
from snellen.report.sections.common import joined, named, rows, yes
from snellen.report.sections.parts import Name, Paragraph, Part, Quote, Say, Section, Table, Text, headed, text, word

MILLION = 1e6


def model(record: ReportRecord) -> Section:
    """Return the encoder's facts."""
    return Section("model", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Part]:
    facts, model = record.facts, record.model
    yield Paragraph(Text("model.counted"))
    yield Table("model", headed("what", "value"), rows(_facts(record)))
    groups = tuple(
        (word("group", name), f.count(size), f.percent(size / facts.parameters if facts.parameters else None))
        for name, size in facts.parameter_groups.items()
    )
    if groups:
        yield Table("parameter_groups", headed("group", "parameters", "share"), groups, (1, 2))
    yield Table("config", headed("setting", "value"), tuple((Name(k), named(v)) for k, v in facts.config.items()))
    recipe = {"library": Name(str(model.get("library", f.NONE))), "hash": Name(str(model.get("recipe_hash", f.NONE)))}
    yield Paragraph(text("model.recipe", recipe))
    steps = tuple((str(number), Name(step)) for number, step in enumerate(facts.steps, 1))
    yield Table("preprocessing", headed("number", "step"), (*steps, *_values(facts)), (0,))
    if facts.files:
        files = tuple((Name(one.name), f.count(one.bytes), f.mib(one.bytes), named(one.sha256)) for one in facts.files)
        yield Table("checkpoint", headed("file", "bytes", "mib", "sha256"), files, (1, 2))
    yield from _said(record)


def _facts(record: ReportRecord) -> Iterator[tuple[str, Say]]:
    facts, model = record.facts, record.model
    yield "asked", named(model.get("name"))
    yield "variant", Name(facts.title)
    yield "names", joined([Name(name) for name in facts.names])
    yield "family", word("family", facts.family)
    yield "weights", origin(record)
    yield "dialect", named(model.get("dialect"))
    millions = {"count": f.count(facts.parameters), "millions": f.number(facts.parameters / MILLION)}
    yield "parameters", text("value.parameters", millions)
    yield "tensors", f.count(facts.tensors)
    yield "weights_bytes", _size(facts.weights_bytes)
    for dtype, size in facts.stored.items():
        yield "stored", text("value.stored", {"dtype": Name(dtype), "size": _size(size)})
    yield "digest", Name(facts.digest)
    yield "input_size", text("value.input", {"size": f.by(facts.input_size), "fixed": _fixed(facts)})
    yield "grid", f.by(facts.grid)
    yield "tokens", f.count(facts.tokens)
    yield "width", f.count(facts.width)
    yield "operations", f.giga(facts.operations_per_image)
    yield "pool", word("pool", facts.pool)
    yield "classifier", yes(bool(facts.config.get("classes")))
    yield "licence", facts.licence or f.NONE


def origin(record: ReportRecord) -> Say:
    """Return where the weights came from."""
    source = record.model["origin"]
    if source["kind"] == "seed":
        return text("origin.seed", {"seed": Name(f"seed:{source.get('seed')}")})
    values = {"where": named(source.get("repo") or source.get("path")), "revision": named(source.get("revision"))}
    return text("origin.revision" if source.get("revision") else "origin.plain", values)


def _fixed(facts: Facts) -> Text:
    return Text("value.fixed" if facts.fixed_size else "value.variable")


def _size(size: int) -> Text:
    return text("value.bytes", {"bytes": f.count(size), "mib": f.mib(size), "gib": f.gib(size)})


def _values(facts: Facts) -> Iterator[tuple[Say, ...]]:
    """Yield what the steps do in numbers, once more where it is looked for."""
    yield "", text("step.mean", {"values": f.listed(facts.mean)})
    yield "", text("step.std", {"values": f.listed(facts.std)})
    yield "", text("step.interpolation", {"value": facts.interpolation or f.NONE})


def _said(record: ReportRecord) -> Iterator[Part]:
    choices = tuple(f"{one.get('value')}: {one.get('reason')}" for one in record.model.get("choices", ()))
    if choices:
        yield Quote(Text("quote.choices"), choices)
    notes = tuple(map(str, record.model.get("notes", ())))
    if notes:
        yield Quote(Text("quote.model"), notes)
