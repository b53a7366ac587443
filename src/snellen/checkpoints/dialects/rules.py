"""What a dialect is: rules between a library's tensor names and ours, run in both directions.

A name is a template: ``{i}`` and ``{s}`` stand for numbers, ``{p}`` for ``weight`` or ``bias``. Rules are full names,
not rewriting steps, so their order does not matter and an unknown key in an error message can be searched for.

For one encoder, ``plan`` turns a dialect into the list of tensors its file must hold. Every tensor of a file is
either used or ignored for a stated reason; every tensor of the encoder is filled. Whatever is left over is an error,
never a default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from snellen.checkpoints.dialects.ops import Op, Same, Tensors
from snellen.encoders.build import build
from snellen.encoders.config import EncoderConfig

Library = Literal["timm", "transformers", "meta", "apple", "jax"]
Names = str | tuple[str, ...]
Shapes = dict[str, tuple[int, ...]]

UNPREFIXED = "/"
"""A foreign name that starts with this stands outside the prefix of the trunk (a classifier beside ``vit.``)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Native tensors and the foreign tensors that hold the same numbers.

    ``given``, ``unless``: a native tensor whose presence switches the rule on, or off.
    """

    native: Names
    foreign: Names
    op: Op = field(default_factory=Same)
    given: str | None = None
    unless: str | None = None


@dataclass(frozen=True, slots=True)
class Ignore:
    """A foreign tensor the encoder has no use for.

    ``each``: the native template that it stands beside; without such a native tensor the rule does not apply.
    ``unless``: a native tensor whose presence switches the rule off.
    ``restore``: makes the tensor when the dialect is written, from the native tensor beside it and the
    configuration; without it the tensor is not written. ``extra``: written only for variants that list this name.
    """

    foreign: str
    because: str
    each: str = "norm.weight"
    unless: str | None = None
    restore: Callable[[Tensor, EncoderConfig], Tensor] | None = None
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """A native tensor the dialect has no place for because it is always zero there."""

    native: str
    because: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A native tensor the dialect cannot hold: left out when writing, and said so."""

    native: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one library spells the checkpoints of one family.

    ``marks``: names (without prefix) a file has if, and only if, it is written so; ``unmarks``: names it must not
    have. ``prefixes``: what may stand before every trunk name. ``head_prefix``: what is written there when there is a
    classifier. ``on_disk``: False for names that the library uses in memory only; they are read, not written.
    ``uncounted``: endings of tensors that the library does not count as parameters.
    """

    library: Library
    name: str
    family: str
    marks: tuple[str, ...]
    unmarks: tuple[str, ...] = ()
    rules: tuple[Rule | Ignore | Fill | Drop, ...] = ()
    prefixes: tuple[str, ...] = ("",)
    head_prefix: str = ""
    uncounted: tuple[str, ...] = ()
    on_disk: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule for one place in the encoder: exact names on both sides."""

    native: tuple[str, ...]
    foreign: tuple[str, ...]
    op: Op


@dataclass(frozen=True, slots=True)
class Ignored:
    """One foreign name that is left aside, why, and what is written in its place."""

    foreign: str
    because: str
    beside: str
    restore: Callable[[Tensor, EncoderConfig], Tensor] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A dialect spelt out for one encoder."""

    dialect: Dialect
    config: EncoderConfig
    native: Shapes
    entries: tuple[Entry, ...]
    ignored: dict[str, Ignored]
    filled: dict[str, str]  # native name -> why it is zero
    dropped: dict[str, str]  # native name -> why it is not written

    def foreign(self) -> Shapes:
        """Return the shape of every tensor a file must hold to be read."""
        return {key: shape for entry in self.entries for key, shape in self._shapes(entry).items()}

    def written(self) -> Shapes:
        """Return the shape of every tensor that is written, the restored ones among them."""
        restored = {
            key: tuple(ignored.restore(self._meta(ignored.beside), self.config).shape)
            for key, ignored in self.ignored.items()
            if ignored.restore
        }
        return {**self.foreign(), **restored}

    def parameters(self) -> int:
        """Count the parameters as the library itself does."""
        shapes = self.written().items()
        uncounted = self.dialect.uncounted
        return sum(torch.Size(shape).numel() for key, shape in shapes if not key.endswith(uncounted))

    def read(self, get: Callable[[str], Tensor]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Tensors]]:
        """Yield (foreign names, native names, native tensors) one rule at a time; ``get`` reads one foreign tensor."""
        for entry in self.entries:
            yield entry.foreign, entry.native, entry.op.read(tuple(get(key) for key in entry.foreign), self.config)

    def write(self, get: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield (foreign name, tensor) one at a time; ``get`` gives one native tensor."""
        for entry in self.entries:
            tensors = entry.op.write(tuple(get(key) for key in entry.native), self.config)
            yield from zip(entry.foreign, tensors, strict=True)
        for key, ignored in self.ignored.items():
            if ignored.restore:
                yield key, ignored.restore(get(ignored.beside), self.config)

    def _shapes(self, entry: Entry) -> Shapes:
        tensors = entry.op.write(tuple(self._meta(key) for key in entry.native), self.config)
        return {key: tuple(tensor.shape) for key, tensor in zip(entry.foreign, tensors, strict=True)}

    def _meta(self, key: str) -> Tensor:
        return torch.empty(self.native[key], device="meta")


@lru_cache(maxsize=64)
def native_shapes(config: EncoderConfig) -> Shapes:
    """Return the name and shape of every tensor of the encoder ``config`` describes.

    Remembered: one load asks for the same encoder several times, and identifying a file for a whole family. Not to be
    changed by those who get it.
    """
    return {name: tuple(tensor.shape) for name, tensor in build(config).state_dict().items()}


def plan(
    dialect: Dialect, config: EncoderConfig, *, prefix: str = "", wrap: str = "", extras: tuple[str, ...] = ()
) -> Plan:
    """Spell a dialect out for one encoder.

    ``prefix`` stands before every foreign trunk name, ``wrap`` before every foreign name at all. A native tensor that
    no rule mentions, or that two do, is a fault in the tables and raises AssertionError; the tests run every table
    against every row.
    """
    native = native_shapes(config)
    entries: list[Entry] = []
    ignored: dict[str, Ignored] = {}
    named: dict[str, dict[str, str]] = {"fill": {}, "drop": {}}
    for rule in dialect.rules:
        if isinstance(rule, Rule):
            if rule.unless in native or rule.given not in (None, *native):
                continue
            natives, foreigns = _names(rule.native), _names(rule.foreign)
            for values in _places(natives[0], native):
                keys = tuple(spelled_name(key, prefix, wrap).format(**values) for key in foreigns)
                entries.append(Entry(tuple(key.format(**values) for key in natives), keys, rule.op))
        elif isinstance(rule, Ignore):
            if rule.unless in native:
                continue
            restore = rule.restore if rule.extra is None or rule.extra in extras else None
            for values in _places(rule.each, native):
                key, beside = spelled_name(rule.foreign, prefix, wrap).format(**values), rule.each.format(**values)
                ignored[key] = Ignored(key, rule.because, beside, restore)
        else:
            kind = "fill" if isinstance(rule, Fill) else "drop"
            for values in _places(rule.native, native):
                named[kind][rule.native.format(**values)] = rule.because
    mentioned = [key for entry in entries for key in entry.native] + [*named["fill"], *named["drop"]]
    assert sorted(mentioned) == sorted(native), f"no rule, or two: {set(mentioned) ^ set(native)}"
    return Plan(dialect, config, native, tuple(entries), ignored, named["fill"], named["drop"])


def _places(template: str, native: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """Yield the values of the placeholders for every native name that ``template`` matches."""
    pattern = re.escape(template).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{s\}", r"(?P<s>\d+)")
    pattern = pattern.replace(r"\{p\}", "(?P<p>weight|bias)")
    for name in native:
        if match := re.fullmatch(pattern, name):
            yield match.groupdict()


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def spelled_name(key: str, prefix: str, wrap: str) -> str:
    """Return a foreign name as a file has it: behind the trunk's prefix, unless it stands outside, and the wrap."""
    return wrap + (key[1:] if key.startswith(UNPREFIXED) else prefix + key)
