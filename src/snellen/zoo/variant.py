"""What one row of the zoo says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snellen.encoders.config import EncoderConfig

Family = Literal["dinov2", "dinov3_vit", "dinov3_convnext", "vit", "aimv2"]
Library = Literal["timm", "transformers", "original"]
Head = Literal["none", "imagenet1k", "imagenet21k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One set of released weights: the network, its names in three libraries, and what is known of it.

    ``timm`` holds its name with the tag, then further timm names of the same weights; ``timm_dialects`` how each of
    them is spelt. ``original`` holds the name that the first release gives them (entry point or file). ``head``: the
    classes of the classifier that the release holds and that means something. ``extras``: tensors the original file
    holds beside the encoder's (see the dialects). ``parameters``: counts as published, by dialect name, checked
    against the built model by the tests.
    """

    family: Family
    config: EncoderConfig
    image: int  # side of timm's input, in pixels
    stats: Literal["imagenet", "half", "clip", "sat"]  # the colour means the weights were trained with
    timm: tuple[str, ...]
    transformers: str | None
    original: tuple[str, ...]
    head: Head = "none"
    timm_dialects: tuple[str, ...] = ("timm",)
    extras: tuple[str, ...] = ()
    licence: str
    gated: bool = False  # the original library's weights want an application; a mirror may not
    parameters: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """The row's own name: timm's with the tag, or the hub's where timm has none."""
        return self.names[0][1]

    @property
    def names(self) -> tuple[tuple[Library, str], ...]:
        """Every name of the row, with the library it belongs to."""
        hugging: tuple[tuple[Library, str], ...] = (("transformers", self.transformers),) if self.transformers else ()
        timm: tuple[tuple[Library, str], ...] = tuple(("timm", name) for name in self.timm)
        return (*timm, *hugging, *(("original", name) for name in self.original))

    def name_in(self, library: Library) -> str | None:
        """Return the first name that ``library`` has for the row, or None where it has none."""
        return next((name for home, name in self.names if home == library), None)
