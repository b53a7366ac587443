"""How much the patch features of a run will take, and whether there is room: said before anything is written.

In: a layout and a number of images. Out: a sentence to show, and an error where nobody agreed to it. Standard library
only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snellen.embed.patches.layout import Layout
from snellen.embed.patches.spec import SIZES, Spec
from snellen.errors import Unavailable, UsageError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")

SMALLER = ("float16", "pool2,float16", "pool2,int8", "pool4,float16", "pool4,int8", "pool4,pca64,int8")
"""What may be offered instead, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the patch features of ``images`` images take, and what is free where they go."""

    layout: Layout
    images: int
    free: int
    folder: Path

    @property
    def needed(self) -> int:
        """Bytes of all images."""
        return self.images * self.layout.row_bytes

    @property
    def fits(self) -> bool:
        """Whether what is free is enough."""
        return self.needed <= self.free

    @property
    def sentence(self) -> str:
        """What it takes, what of, and what is free."""
        layout = self.layout
        height, across, channels = layout.shape
        size = SIZES[layout.dtype]
        each = "1 byte, and a scale for each channel" if layout.scales else f"{size} bytes"
        return (
            f"the patch features take {shown(self.needed)} for {self.images:,} images: {height} x {across} cells "
            f"x {channels} channels x {each}, {shown(layout.row_bytes)} an image; "
            f"{shown(self.free)} are free at '{self.folder}'"
        )


def room(layout: Layout, images: int, folder: Path) -> Room:
    """Return what the features of so many images take in ``folder``, which need not be there yet."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return Room(layout=layout, images=images, free=shutil.disk_usage(there).free, folder=folder)


def agree(needed: Room, *, yes: bool, ask: Callable[[str], bool] | None) -> None:
    """Return if the features may be written: ``yes`` was said beforehand, or is the answer to ``ask``.

    ``ask`` is None where there is nobody to ask. Raises UsageError without a yes, Unavailable where they do not fit,
    whatever was said: the disk would be full before the end.
    """
    if not needed.fits:
        raise Unavailable(needed.sentence, expected="room for all of them", todo=_smaller(needed))
    if yes:
        return
    if ask is None:
        raise UsageError(needed.sentence, expected="a yes, and there is no terminal to ask at", todo="--yes says it")
    if not ask(f"{needed.sentence}. Go on?"):
        raise UsageError("nothing was written", todo=_smaller(needed))


def shown(count: float) -> str:
    """Return a number of bytes in two digits or three: 4.7 TB, 590 kB."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.0f} {UNITS[power]}" if count >= 9.95 or not power else f"{count:.1f} {UNITS[power]}"


def _smaller(needed: Room) -> str:
    """Name the best of the smaller ways that fits, if one does."""
    layout = needed.layout
    patches = layout.patches[0], layout.patches[1]
    for text in SMALLER:
        spec = Spec.parse(text)
        if spec.pca is not None and spec.pca >= layout.width:
            continue
        row = spec.row_bytes(patches, layout.width)
        if row < layout.row_bytes and row * needed.images <= needed.free:
            return f"--dense {text} takes {shown(row * needed.images)}"
    return "write somewhere else, or fewer images"
