"""The JSON Schema of a report, made from the records themselves, so that the two cannot differ.

In: a frozen dataclass. Out: a schema of draft 2020-12 with every field required and no other allowed; descriptions are
the comments beside the fields, units follow from their names. ``report.schema.json`` beside this file is what
``report_schema`` gives; ``make docs`` writes it. Standard library only.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib.resources import files
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from snellen.records.meanings import meaning
from snellen.records.reading import SIGNED, Measured
from snellen.records.report import MARKER, SCHEMA, ReportRecord

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILE = "report.schema.json"

UNITS = {
    "_per_s": "1/s",
    "_ms": "ms",
    "_s": "s",
    "seconds": "s",
    "bytes": "bytes",
    "percent": "%",
    "_db": "dB",
}
"""By how a field's name ends; the first that fits."""

PLAIN: dict[Any, str] = {float: "number", int: "integer", bool: "boolean", str: "string"}


def report_schema() -> dict[str, Any]:
    """Return the schema of ``report.json``: the record, its name, and the mark of a simulated device."""
    defs: dict[str, dict[str, Any]] = {}
    whole = _object(ReportRecord, defs)
    mark = {MARKER: {"type": "string", "description": "there where the device was simulated, and then first"}}
    name = {"schema": {"const": SCHEMA}}
    flag = {"properties": {"simulated": {"const": True}}}
    simulated = {"properties": {"trial": {"properties": {"candidate": flag}}}}
    return {
        "$schema": DRAFT,
        "$id": f"urn:{SCHEMA.replace('.', ':').replace('/', ':')}",
        "title": SCHEMA,
        **whole,
        "properties": {**mark, **name, **whole["properties"]},
        "required": ["schema", *whole["required"]],
        "if": simulated,
        "then": {"required": [MARKER]},
        "else": {"not": {"required": [MARKER]}},
        "$defs": dict(sorted(defs.items())),
    }


def packaged() -> str:
    """Return the schema's text as the package carries it."""
    return files("snellen.records").joinpath(FILE).read_text(encoding="utf-8")


def records(cls: Any) -> dict[str, Any]:
    """Return ``cls`` and every record inside it by name, in the order in which they are first met."""
    found: dict[str, Any] = {cls.__name__: cls}
    for kind in get_type_hints(cls).values():
        for inner in _inside(kind):
            found |= {name: each for name, each in records(inner).items() if name not in found}
    return found


def comments(cls: Any) -> dict[str, str]:
    """Return what the source says beside each field: the comment at the end of its line, and a text below it."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines = source.splitlines()
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        rest = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].decode().strip()
        found[node.target.id] = " ".join(filter(None, (rest.removeprefix("#").strip(), _text(after))))
    return found


def described_fields(cls: Any) -> dict[str, str]:
    """Return what each field means: what stands beside it, else what ``meanings`` has of it."""
    return {name: said or meaning(cls.__name__, name) for name, said in comments(cls).items()}


def unit(name: str) -> str | None:
    """Return the unit that a field's name ends in; None where it has none."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)


def described(cls: Any) -> str:
    """Return the docstring of a record in one line."""
    return " ".join((inspect.getdoc(cls) or "").split())


def _text(node: ast.stmt | None) -> str:
    """Return the string that stands below a field, in one line; nothing for anything else."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _inside(kind: Any) -> Iterator[Any]:
    """Yield the records in an annotation."""
    if is_dataclass(kind):
        yield kind
    for part in get_args(kind):
        if get_origin(kind) is not Literal:
            yield from _inside(part)


def _object(cls: Any, defs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of a record; those inside it go to ``defs``."""
    hints, said = get_type_hints(cls), described_fields(cls)
    properties = {}
    for field in fields(cls):
        kind = _kind(hints[field.name], defs)
        kind |= {"description": said[field.name]} if said.get(field.name) else {}
        kind |= {"unit": unit(field.name)} if unit(field.name) else {}
        properties[field.name] = kind | (_bounds(field.name) if issubclass(cls, Measured) else {})
    return {
        "description": described(cls),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _bounds(name: str) -> dict[str, int]:
    """Return what a figure of a comparison lies between; of lists and objects it says nothing."""
    if name in SIGNED:
        return {}
    return {"minimum": -1, "maximum": 1} if "cosine" in name else {"minimum": 0}


def _kind(kind: Any, defs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of an annotation."""
    if is_dataclass(kind):
        return _reference(kind, defs)
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or kind in PLAIN:
        return {} if kind is Any else {"type": PLAIN[kind]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if part is types.NoneType else _kind(part, defs) for part in parts]}
    if origin is tuple:
        return {"type": "array", "items": _kind(parts[0], defs)}
    return {"type": "object", "additionalProperties": _kind(parts[1], defs)}


def _reference(cls: Any, defs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name = cls.__name__
    if name not in defs:
        defs[name] = {}  # a name for it, should it hold itself
        defs[name] = _object(cls, defs)
    return {"$ref": f"#/$defs/{name}"}
