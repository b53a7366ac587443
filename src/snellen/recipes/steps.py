"""The steps of a recipe as frozen records; ``str(step)`` is the canonical text of each."""

from __future__ import annotations

from dataclasses import dataclass

PILLOW_FILTERS = ("bilinear", "bicubic", "lanczos", "box")
TORCH_FILTERS = ("bilinear", "bicubic")


@dataclass(frozen=True, slots=True)
class Squash:
    """Resize to exactly ``height`` x ``width`` pixels."""

    height: int
    width: int
    filter: str
    aliased: bool = False

    def __str__(self) -> str:
        return f"squash {_sides(self.height, self.width)} {self.filter}{' aliased' * self.aliased}"


@dataclass(frozen=True, slots=True)
class ShortestEdge:
    """Resize, keeping the aspect ratio, until the shorter side is ``length`` pixels."""

    length: int
    filter: str
    aliased: bool = False

    def __str__(self) -> str:
        return f"shortest_edge {self.length} {self.filter}{' aliased' * self.aliased}"


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Cut ``height`` x ``width`` pixels out of the middle, padding with black where the image is smaller.

    An odd margin leaves half a pixel: torchvision rounds it to even, the processors of transformers down.
    """

    height: int
    width: int
    floor: bool = False

    def __str__(self) -> str:
        return f"center_crop {_sides(self.height, self.width)}{' floor' * self.floor}"


@dataclass(frozen=True, slots=True)
class Tensor:
    """From here on 8-bit numbers that torch resizes, no longer a Pillow image."""

    def __str__(self) -> str:
        return "tensor"


@dataclass(frozen=True, slots=True)
class Scale:
    """From here on float32 between 0 and 1, the 8-bit numbers divided by 255, that torch resizes."""

    def __str__(self) -> str:
        return "scale"


Resize = Squash | ShortestEdge
Step = Squash | ShortestEdge | CenterCrop | Tensor | Scale
Triple = tuple[float, float, float]


def _sides(height: int, width: int) -> str:
    return str(height) if height == width else f"{height} {width}"
