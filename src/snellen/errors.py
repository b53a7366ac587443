"""Every error snellen raises on purpose.

    SnellenError                  three parts: what was seen, what was expected, what to do next
    ├── UsageError                something was asked for that means nothing here          (exit code 2)
    │   ├── UnknownName           a model, stage, dialect or pooling that does not exist
    │   ├── RecipeError           a recipe that cannot be read
    │   └── InputError            pixels or images of a shape the encoder cannot take
    ├── Unavailable               understood, but not to be had on this machine             (exit code 2)
    │   ├── MissingPackage        an optional package is not installed
    │   ├── DeviceUnavailable     the device or the dtype is not usable here
    │   └── WeightsUnavailable    no weights: unreachable, gated, not found
    ├── CandidateError            a candidate on trial could not be run                       (exit code 2)
    ├── CheckpointError           the weights are there, but not what they should be        (exit code 2)
    │   ├── BadFile               not a checkpoint: git-lfs pointer, truncated, unsafe, a web page
    │   ├── UnknownDialect        tensors, but of no known encoder
    │   └── KeyMismatch           missing, unexpected, wrong-shaped or non-finite tensors
    └── ImageError                one image cannot be used; the others are not affected     (exit code 1)
        └── TooLarge              more pixels than are decoded without being asked to

The command line prints the message; the traceback is shown only with ``--debug``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SnellenError(Exception):
    """Say what was seen, what was expected, and what to do next.

    ``seen`` is a whole clause ("'x.pth' is a git-lfs pointer, not the weights themselves"),
    ``expected`` completes "Expected: ...", ``todo`` is an instruction. Both may be empty where
    there is nothing to add.
    """

    exit_code = 2

    def __init__(self, seen: str, *, expected: str = "", todo: str = "") -> None:
        self.seen, self.expected, self.todo = seen, expected, todo
        lines = [seen]
        if expected:
            lines.append(f"  expected: {expected}")
        if todo:
            lines.append(f"  next: {todo}")
        super().__init__("\n".join(lines))


class UsageError(SnellenError):
    """Something was asked for that means nothing here."""


class UnknownName(UsageError):
    """A name that does not exist; the nearest ones are offered."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, todo: str = "") -> None:
        self.nearest = nearest(name, known)
        offer = f"did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(f"there is no {what} named {name!r}", todo="; ".join(filter(None, (offer, todo))))


class RecipeError(UsageError):
    """A recipe that cannot be read."""


class InputError(UsageError):
    """Pixels or images of a shape the encoder cannot take."""


class Unavailable(SnellenError):
    """Understood, but not to be had on this machine."""


class MissingPackage(Unavailable):
    """An optional package is not installed; the message carries the install line."""


class DeviceUnavailable(Unavailable):
    """The device, or the dtype on that device, is not usable here."""


class WeightsUnavailable(Unavailable):
    """No weights could be had: unreachable, gated, or not found."""


class CandidateError(SnellenError):
    """A candidate on trial raised an error instead of giving features."""


class CheckpointError(SnellenError):
    """The weights are there, but not what they should be."""


class BadFile(CheckpointError):
    """A file that is not a readable checkpoint."""


class UnknownDialect(CheckpointError):
    """Tensors, but of no encoder known here."""


class KeyMismatch(CheckpointError):
    """Missing, unexpected, wrong-shaped or non-finite tensors, each listed by name.

    ``missing``, ``unexpected``, ``misshapen`` and ``nonfinite`` hold all names, the message the first few of each.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    nonfinite: tuple[str, ...] = ()


class ImageError(SnellenError):
    """One image cannot be used; the others are not affected."""

    exit_code = 1


class TooLarge(ImageError):
    """One image has more pixels than are decoded without being asked to."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` of the known names closest in spelling to ``name``, best first.

    Letter case is ignored, and a hub organisation ("facebook/") counts for nothing.
    """
    asked = name.partition("/")[0] if "/" in name else ""
    # Where two names end alike, the one from the organisation that was asked for is meant.
    ordered = sorted(known, key=lambda full: bool(asked) and full.startswith(asked + "/"))
    by_key = {full.lower().rpartition("/")[2]: full for full in ordered}
    keys = difflib.get_close_matches(name.lower().rpartition("/")[2], by_key, n=count, cutoff=0.6)
    return [by_key[key] for key in keys]
