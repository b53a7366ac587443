"""A recipe: parsed once, then applied to any number of pictures.

In: text, and pictures as ``snellen.images`` decodes them. Out: pixels, float32 [3,h,w], as the encoder takes
them. Parsing imports nothing heavy; numpy and Pillow come in when the first picture does, torch where it is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from snellen.encoders.config import Pool
from snellen.errors import RecipeError
from snellen.recipes.parse import output_size, parse
from snellen.recipes.steps import CenterCrop, Scale, ShortestEdge, Squash, Step, Triple

if TYPE_CHECKING:
    import torch
    from numpy import float32, uint8
    from numpy.typing import NDArray
    from PIL import Image


class PictureLike(Protocol):
    """What a recipe asks of a picture: pixels of mode RGB as stored, and turned upright."""

    @property
    def rgb(self) -> Image.Image:
        """Pixels as stored."""
        ...

    def upright(self) -> Image.Image:
        """Return the pixels turned as the EXIF orientation asks."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """Preprocessing and pooling. Two recipes of the same canonical ``text`` are equal."""

    apply_orientation: bool
    steps: tuple[Step, ...]
    mean: Triple | None
    std: Triple | None
    pool: Pool

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read a recipe from its text; the grammar stands in ``snellen.recipes``.

        Raises RecipeError naming the step that is unknown, malformed, missing or out of place.
        """
        parts = parse(text)
        return cls(parts.upright, tuple(parts.steps), parts.mean, parts.std, parts.pool)

    @property
    def text(self) -> str:
        """Canonical text: lower case, single spaces, shortest numbers."""
        words = ["upright" if self.apply_orientation else "stored", *map(str, self.steps)]
        if self.mean is not None and self.std is not None:
            words += ["mean " + " ".join(map(repr, self.mean)), "std " + " ".join(map(repr, self.std))]
        return " | ".join([*words, f"pool {self.pool}"])

    @property
    def hash(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels that come out."""
        size = output_size(self.steps)
        if size is None:  # only where the record was built by hand: parse refuses such a text
            raise RecipeError("the recipe leaves the size of the pixels open", expected="a squash or center_crop last")
        return size

    @property
    def eight_bit(self) -> bool:
        """Whether every resize and crop works on 8-bit numbers, so that ``uint8`` can be had."""
        after = self.steps[self.steps.index(Scale()) + 1 :] if Scale() in self.steps else ()
        return not any(isinstance(step, (Squash, ShortestEdge, CenterCrop)) for step in after)

    def with_pool(self, pool: Pool) -> Recipe:
        """Return the same preprocessing with another pooling."""
        return replace(self, pool=pool)

    def __call__(self, picture: PictureLike) -> torch.Tensor:
        """Return ``pixels(picture)``."""
        return self.pixels(picture)

    def array(self, picture: PictureLike) -> NDArray[float32]:
        """Return the pixels the encoder takes: float32 [3,h,w], contiguous.

        torch is imported only where the recipe resizes after ``tensor`` or ``scale``.
        Raises ImageError where the picture is so long and thin that resizing it would need gigabytes.
        """
        from snellen.recipes import apply

        return apply.standardise(apply.run(self._image(picture), self.steps), self.mean, self.std)

    def array_uint8(self, picture: PictureLike) -> NDArray[uint8]:
        """Return the resized and cropped pixels before scaling: uint8 [3,h,w], a quarter of the memory.

        Raises RecipeError where the recipe resizes float32 (``eight_bit`` tells), ImageError as ``array`` does.
        """
        from snellen.recipes import apply

        if not self.eight_bit:
            raise RecipeError(
                "this recipe resizes float32 pixels, so no 8-bit pixels exist",
                expected="a recipe with every resize and crop before 'scale'",
                todo="use pixels()",
            )
        return apply.run(self._image(picture), tuple(step for step in self.steps if step != Scale()))

    def pixels(self, picture: PictureLike) -> torch.Tensor:
        """Return ``array(picture)`` as a tensor on the CPU."""
        import torch

        return torch.from_numpy(self.array(picture))

    def uint8(self, picture: PictureLike) -> torch.Tensor:
        """Return ``array_uint8(picture)`` as a tensor on the CPU; ``normalise`` makes of it what ``pixels`` returns."""
        import torch

        return torch.from_numpy(self.array_uint8(picture))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [...,3,h,w] into float32 of the same shape and device: scale, mean, std."""
        from snellen.recipes import tensors

        return tensors.normalise(pixels, self.mean, self.std)

    def _image(self, picture: PictureLike) -> Image.Image:
        return picture.upright() if self.apply_orientation else picture.rgb
