"""The zoo: every variant one row, found by its name in any library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from snellen.errors import UnknownName
from snellen.zoo import aimv2, dinov2, dinov3, vit
from snellen.zoo.conventions import ORIGINAL
from snellen.zoo.variant import Library, Variant

ROWS: tuple[Variant, ...] = (*dinov2.ROWS, *dinov3.ROWS, *vit.ROWS, *aimv2.ROWS)

# The tag timm means where a name carries none and several rows would fit (timm 1.0.31).
DEFAULT_TAGS = {
    "vit_small_patch16_224": "augreg_in21k_ft_in1k",
    "vit_base_patch16_224": "augreg2_in21k_ft_in1k",
    "vit_large_patch16_224": "augreg_in21k_ft_in1k",
    "vit_large_patch16_dinov3": "lvd1689m",
    "vit_large_patch16_dinov3_qkvb": "lvd1689m",
    "vit_7b_patch16_dinov3": "lvd1689m",
    "aimv2_large_patch14_224": "apple_pt",
    "aimv2_large_patch14_336": "apple_pt",
}
# Names that mean other weights in timm when they carry no tag, so that they are not ours to answer.
NOT_OURS = frozenset({"convnext_tiny", "convnext_small", "convnext_base", "convnext_large"})

HUB_PREFIXES = ("hf-hub:", "hf_hub:", "timm/")
SUFFIXES = (".pth", ".npz")


@dataclass(frozen=True, slots=True)
class Named:
    """A row, and the library whose name for it was used."""

    asked: str
    name: str
    variant: Variant
    library: Library

    @property
    def dialect(self) -> str:
        """How the library spells the weights of this name: the name of a dialect of the row's family."""
        if self.library == "timm":
            return dict(zip(self.variant.timm, self.variant.timm_dialects, strict=False)).get(self.name, "timm")
        return "transformers" if self.library == "transformers" else ORIGINAL[self.variant.family]

    @property
    def repo(self) -> str | None:
        """The hub repository that holds these weights in the library's own spelling, or the nearest to it."""
        if self.library == "timm":
            return f"timm/{self.name}"
        if self.variant.transformers:
            return self.variant.transformers
        return f"timm/{self.variant.timm[0]}" if self.variant.timm else None


def find(name: str) -> Named:
    """Find a variant by its timm name, Hugging Face id or original name; raise UnknownName with the nearest ones.

    A timm name may lack its tag (timm's default is meant), an original one may carry its file's ending.
    """
    short = name
    for prefix in HUB_PREFIXES:
        short = short.removeprefix(prefix)
    for suffix in SUFFIXES:
        short = short.removesuffix(suffix)
    found = _index().get(short)
    if found is None:
        raise UnknownName("model", name, _index(), todo="'snellen models' lists all")
    return Named(name, *found)


def names() -> Iterable[str]:
    """Return every name that ``find`` knows."""
    return _index()


@lru_cache(maxsize=1)
def _index() -> dict[str, tuple[str, Variant, Library]]:
    index: dict[str, tuple[str, Variant, Library]] = {}
    for variant in ROWS:
        for library, name in variant.names:
            index[name] = (name, variant, library)
            base, _, tag = name.partition(".")
            if library == "timm" and base not in NOT_OURS and DEFAULT_TAGS.get(base, tag) == tag:
                index[base] = (name, variant, library)
    return index
