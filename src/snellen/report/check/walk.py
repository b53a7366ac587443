"""A JSON document by its places: what is missing or of another kind than asked for is simply not there.

In: JSON values. Out: numbers, words and lists, each with the place it stands at, for example "bench.points[2].batch".
Checks look at documents that are no records, too; whether one is a record is a check of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LARGEST = sys.float_info.max
"""What is larger, or no number, is not there."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a document, and where it stands."""

    value: object
    place: str = ""

    def __getitem__(self, path: str) -> Part:
        """Return the value under a name, or under several with points between them; nothing's value is None."""
        value, place = self.value, self.place
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
            place = f"{place}.{name}" if place else name
        return Part(value, place)

    def __bool__(self) -> bool:
        return self.value is not None

    def parts(self) -> list[Part]:
        """Return the entries of a list; none for anything else."""
        if not isinstance(self.value, (list, tuple)):
            return []
        return [Part(value, f"{self.place}[{index}]") for index, value in enumerate(self.value)]

    def items(self) -> Iterator[tuple[str, Part]]:
        """Yield the names and values of an object; none for anything else."""
        if isinstance(self.value, Mapping):
            for name in self.value:
                yield str(name), Part(self.value[name], f"{self.place}.{name}" if self.place else str(name))

    @property
    def number(self) -> float | None:
        """The number it is, or None."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
            return None
        return value

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers of a list; none unless all of its entries are some."""
        found = tuple(part.number for part in self.parts())
        return tuple(value for value in found if value is not None) if None not in found else ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The whole numbers of a list, a shape for example; none unless all of its entries are some."""
        return tuple(int(value) for value in self.numbers) if all(v == int(v) for v in self.numbers) else ()

    @property
    def text(self) -> str | None:
        """The text it is, or None."""
        return self.value if isinstance(self.value, str) else None

    @property
    def true(self) -> bool:
        """Whether it is true."""
        return self.value is True


def leaves(part: Part, name: str = "") -> Iterator[tuple[str, Part]]:
    """Yield every number of a document with the name that it stands under, its own or its list's."""
    if isinstance(part.value, Mapping):
        for inner, value in part.items():
            yield from leaves(value, inner)
    elif isinstance(part.value, (list, tuple)):
        for value in part.parts():
            yield from leaves(value, name)
    elif part.number is not None:
        yield name, part
