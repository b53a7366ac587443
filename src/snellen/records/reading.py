"""Records back from JSON, strictly: what a record does not say is refused, never filled in.

In: JSON values, as ``json.load`` gives them. Out: the frozen records of this room. A rule that is applied to a saved
record judges what it reads, so that a document with a figure missing, renamed or of another type is no record.
Standard library only.
"""

from __future__ import annotations

import sys
import types
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from snellen.errors import UsageError

T = TypeVar("T")

SIGNED = ("gain", "snr_db")
"""The figures of a ``Measured`` that may have either sign, beside cosines."""

AGAIN = "take the file as snellen wrote it, or make it again"


FINITE = "a finite number; what is not finite stands as null"


class Measured:
    """Figures of a comparison: a record that is one is held to what a comparison can give."""

    __slots__ = ()


def read(cls: type[T], document: object, at: str = "") -> T:
    """Return the ``cls``, a frozen dataclass, that ``dataclasses.asdict`` made ``document`` of; ``at`` is its place.

    Every field must be there, those with defaults too, and no other. Lists become tuples where the field is one.
    Raises UsageError naming the place, for example "outputs[2].golden.cosine is a string".
    """
    if not isinstance(document, Mapping):
        refuse(f"{at or 'the document'} is {said(document)}", "an object")
    kinds = _fields(cast("Any", cls))
    missing = [name for name in kinds if name not in document]
    unknown = [str(name) for name in document if name not in kinds]
    if missing:
        refuse(f"{_inside(at, missing[0])} is missing", f"every field of a {cls.__name__}")
    if unknown:
        refuse(f"{_inside(at, unknown[0])} is no field of a {cls.__name__}", ", ".join(kinds))
    values = {name: _value(kind, document[name], _inside(at, name)) for name, kind in kinds.items()}
    if issubclass(cls, Measured):
        _check_sizes(values, at)
    return cls(**values)


def _check_sizes(values: Mapping[str, object], at: str) -> None:
    """Refuse what no comparison gives: distances, ratios and counts below 0, cosines beyond 1."""
    for name, value in values.items():
        if name in SIGNED or not isinstance(value, (int, float)):
            continue
        if "cosine" in name and abs(value) > 1:
            refuse(f"{_inside(at, name)} is {value}", "a cosine, from -1 to 1")
        if "cosine" not in name and value < 0:
            refuse(f"{_inside(at, name)} is {value}", "a number from 0")


def plain(value: object) -> Any:
    """Return JSON-serialisable ``value`` as JSON gives it back: tuples are lists. Raise UsageError for anything else.

    What a record holds untyped (a model, an environment) goes through this, or it would not equal what is read back.
    """
    return _anything(Any, value, "the value")


@cache
def _fields(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _value(kind: Any, value: object, at: str) -> Any:
    if is_dataclass(kind):
        return read(cast("type[Any]", kind), value, at)
    return _READERS[get_origin(kind) or kind](kind, value, at)


def _optional(kind: Any, value: object, at: str) -> Any:
    if value is None:
        return None
    (present,) = (part for part in get_args(kind) if part is not types.NoneType)
    return _value(present, value, at)


def _literal(kind: Any, value: object, at: str) -> Any:
    allowed = get_args(kind)
    if not isinstance(value, str) or value not in allowed:
        refuse(f"{at} is {shown(value)}", " or ".join(map(repr, allowed)))
    return value


def _tuple(kind: Any, value: object, at: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        refuse(f"{at} is {said(value)}", "a list")
    entry = get_args(kind)[0]  # every tuple of a record is of one kind: tuple[X, ...]
    return tuple(_value(entry, part, f"{at}[{number}]") for number, part in enumerate(value))


def _dict(kind: Any, value: object, at: str) -> dict[str, Any]:
    return {name: _value(get_args(kind)[1], part, _inside(at, name)) for name, part in _object(value, at).items()}


def _anything(kind: Any, value: object, at: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [_anything(kind, part, f"{at}[{number}]") for number, part in enumerate(value)]
    if isinstance(value, Mapping):
        return {name: _anything(kind, part, _inside(at, name)) for name, part in _object(value, at).items()}
    if isinstance(value, float):
        return _number(float, value, at)
    if value is not None and not isinstance(value, (bool, int, str)):
        refuse(f"{at} is {said(value)}", "a value that JSON knows")
    return value


def _object(value: object, at: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        refuse(f"{at} is {said(value)}", "an object")
    for name in value:
        if not isinstance(name, str):
            refuse(f"{at} has the name {name!r}", "names that are strings")
    return value


def _number(kind: Any, value: object, at: str) -> Any:
    """Read a float or int; a float may be written without its point."""
    allowed = (int, float) if kind is float else int
    if isinstance(value, bool) or not isinstance(value, allowed):
        refuse(f"{at} is {said(value)}", "a number" if kind is float else "a whole number")
    if not abs(value) <= sys.float_info.max:  # NaN is not, and neither is a whole number of 400 digits
        refuse(f"{at} is {value if isinstance(value, float) else 'too large'}", FINITE)
    return kind(value)


def _exactly(kind: Any, value: object, at: str) -> Any:
    if not isinstance(value, kind):
        refuse(f"{at} is {said(value)}", {bool: "true or false", str: "a string"}[kind])
    return value


_READERS: dict[Any, Callable[[Any, object, str], Any]] = {
    Any: _anything,
    Union: _optional,
    types.UnionType: _optional,
    Literal: _literal,
    tuple: _tuple,
    dict: _dict,
    abc.Mapping: _dict,
    float: _number,
    int: _number,
    bool: _exactly,
    str: _exactly,
}


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def said(value: object) -> str:
    """Name the kind of value, in JSON's words."""
    if value is None or isinstance(value, bool):
        return shown(value)
    names = {str: "a string", int: "a number", float: "a number", list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: object) -> str:
    """Name a value itself, where it is short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, (str, int, float)) and len(repr(value)) <= 60 else said(value)


def refuse(seen: str, expected: str) -> NoReturn:
    """Raise the UsageError of a record that cannot be read."""
    raise UsageError(f"the record cannot be read: {seen}", expected=expected, todo=AGAIN)
