"""The shrunken encoders: two to four blocks, run as the original name of the row they come from is run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig
from snellen.zoo import find
from snellen.zoo.conventions import ORIGINAL, config_for

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A shrunken encoder: its configuration, as config_for makes it for the original name ``like``."""

    repo: str  # whose code runs it: dinov2, dinov3, aim, vit
    kind: str
    like: str
    config: EncoderConfig
    sizes: tuple[Size, ...]

    @property
    def family(self) -> str:
        """The family of the row."""
        return find(self.like).variant.family

    def plan(self) -> Plan:
        """Spell the original dialect out for this encoder."""
        variant = find(self.like).variant
        name = ORIGINAL[variant.family]
        dialect = next(d for d in DIALECTS if (d.family, d.name) == (variant.family, name))
        return plan(dialect, self.config, extras=variant.extras)


def _case(repo: str, kind: str, like: str, config: EncoderConfig, sizes: tuple[Size, ...]) -> Case:
    """Give a shrunken configuration the conventions of the original name ``like``."""
    named = find(like)
    assert named.library == "original", like
    original = config_for(replace(named.variant, config=config), "original")
    if isinstance(original, ViTConfig):
        original = replace(original, pooler=original.pool == "tanh_cls")
    return Case(repo=repo, kind=kind, like=like, config=original, sizes=sizes)


def _like(name: str, **changes: object) -> EncoderConfig:
    return replace(find(name).variant.config, **changes)  # type: ignore[arg-type]


def cases() -> list[Case]:
    """Return every shrunken encoder; what is not named here is as the row ``like`` has it."""
    return [*_dinov2(), *_dinov3(), *_aimv2(), *_vit()]


def _dinov2() -> list[Case]:
    sizes = ((56, 56), (42, 84))
    small = {"width": 96, "depth": 3, "heads": 3, "grid": 4}
    return [
        _case("dinov2", "mlp, 0 registers", "dinov2_vits14", _like("dinov2_vits14", **small, hidden=384), sizes),
        _case(
            "dinov2", "mlp, 4 registers", "dinov2_vits14_reg", _like("dinov2_vits14_reg", **small, hidden=384), sizes
        ),
        _case("dinov2", "swiglu, 0 registers", "dinov2_vitg14", _like("dinov2_vitg14", **small, hidden=256), sizes),
        _case(
            "dinov2", "swiglu, 4 registers", "dinov2_vitg14_reg", _like("dinov2_vitg14_reg", **small, hidden=256), sizes
        ),
    ]


def _dinov3() -> list[Case]:
    sizes = ((64, 64), (48, 80))
    small = {"width": 128, "depth": 3, "heads": 2}
    large, satellite = "dinov3_vitl16", "dinov3_vitl16_pretrain_sat493m-eadcf0ff"
    plus, seven = "dinov3_vits16plus", "dinov3_vit7b16"
    tiny = ConvNeXtConfig(depths=(2, 1, 3, 1), widths=(16, 32, 48, 64))
    return [
        _case("dinov3", "mlp", large, _like(large, **small, hidden=512), sizes),
        _case("dinov3", "mlp, local norm", satellite, _like(satellite, **small, hidden=512), sizes),
        _case("dinov3", "swiglu", plus, _like(plus, **small, hidden=512), sizes),
        _case("dinov3", "swiglu, as 7B", seven, _like(seven, width=128, depth=3, heads=1, hidden=256), sizes),
        _case("dinov3", "convnext", "dinov3_convnext_tiny", tiny, ((64, 64), (96, 32))),
    ]


def _aimv2() -> list[Case]:
    name = "aimv2-large-patch14-224"
    small = {"width": 128, "depth": 2, "heads": 1, "hidden": 352}
    return [
        _case("aim", f"grid {grid}", name, _like(name, **small, grid=grid), ((14 * grid, 14 * grid),))
        for grid in (3, 4)
    ]


def _vit() -> list[Case]:
    sizes = ((48, 48), (80, 80), (64, 32))
    small = {"width": 96, "depth": 4, "heads": 3, "hidden": 384, "grid": 3}
    first, tuned = "imagenet21k/ViT-B_16", "imagenet21k+imagenet2012/ViT-B_16-224"
    return [
        _case("vit", "pre-logits", first, _like(first, **small), sizes),
        _case("vit", "head", tuned, _like(tuned, **small, classes=7), sizes),
    ]
