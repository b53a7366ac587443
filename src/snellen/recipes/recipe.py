"""A recipe: parsed once, then applied to any number of pictures.

In: text, and pictures as ``snellen.images`` decodes them; ``at_least`` says how small they may be. Out: pixels,
float32 [3,h,w], as the encoder takes them. Parsing imports nothing heavy; numpy and Pillow come in when the first
picture does, torch where it is needed.
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


DCT = 1.4
"""How far a picture is from what the first resize makes of it, at least, where it is decoded fast.

A photograph of 12 million pixels is then decoded at an eighth for recipes of 224 and 256 pixels. What that changes is
42 dB and more below the picture for the filters in use, and the lowest cosine seen on the examples is 0.9998 (drawn
weights, bfloat16; docs/log.md). At 2 it is 46 dB, and a quarter of the picture is decoded; below 1.4 little is saved.
"""


class PictureLike(Protocol):
    """What a recipe asks of a picture: pixels of mode RGB as stored, and turned upright; the size of its file."""

    @property
    def width(self) -> int:
        """Pixels of a row of the file, of which ``rgb`` may hold fewer."""
        ...

    @property
    def height(self) -> int:
        """Rows of the file."""
        ...

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8."""
        ...

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
    dct: float | None = None  # a JPEG may be decoded smaller, down to so many times what the first resize makes of it

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read a recipe from its text; the grammar stands in ``snellen.recipes``.

        Raises RecipeError naming the step that is unknown, malformed, missing or out of place.
        """
        parts = parse(text)
        return cls(parts.upright, tuple(parts.steps), parts.mean, parts.std, parts.pool, parts.dct)

    @property
    def text(self) -> str:
        """Canonical text: lower case, single spaces, shortest numbers."""
        words = ["upright" if self.apply_orientation else "stored"]
        words += [*([] if self.dct is None else [f"dct {self.dct:g}"]), *map(str, self.steps)]
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

    def with_dct(self, factor: float | None = DCT) -> Recipe:
        """Return the same preprocessing of JPEG files that may be decoded at a reduced size; None: of exact pixels.

        Raises RecipeError for a recipe whose pixels would be others then: one that cuts before it resizes, or whose
        first resize takes single pixels ('aliased').
        """
        return Recipe.parse(replace(self, dct=factor).text)

    def at_least(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the (height, width) down to which a file of ``height`` x ``width`` may be decoded; None: in full.

        It is what ``decode`` asks for.
        """
        if self.dct is None:
            return None
        from snellen.recipes import apply

        return apply.least(self.steps, self.dct, height, width, turned=self.apply_orientation)

    def __call__(self, picture: PictureLike) -> torch.Tensor:
        """Return ``pixels(picture)``."""
        return self.pixels(picture)

    def array(self, picture: PictureLike) -> NDArray[float32]:
        """Return the pixels the encoder takes: float32 [3,h,w], contiguous.

        torch is imported only where the recipe resizes after ``tensor`` or ``scale``.
        Raises ImageError where the picture is so long and thin that resizing it would need gigabytes.
        """
        from snellen.recipes import apply

        pixels = apply.run(self._image(picture), self.steps, self._full(picture))
        return apply.standardise(pixels, self.mean, self.std)

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
        steps = tuple(step for step in self.steps if step != Scale())
        return apply.run(self._image(picture), steps, self._full(picture))

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

    def _full(self, picture: PictureLike) -> tuple[int, int] | None:
        """Return the (height, width) that the pixels stand for; None where they are those of the file."""
        if picture.rgb.size == (picture.width, picture.height):
            return None
        if self.dct is None:
            raise RecipeError(
                f"the picture was decoded at {picture.rgb.width} x {picture.rgb.height} pixels and its file has "
                f"{picture.width} x {picture.height}",
                expected="all pixels, as this recipe has no step 'dct'",
                todo="decode(source, at_least=recipe.at_least)",
            )
        swapped = self.apply_orientation and picture.orientation > 4
        return (picture.width, picture.height) if swapped else (picture.height, picture.width)
