"""The faults the comparison must see: each is an encoder that is wrong in one way, and has to come out too far.

A comparison that passes proves something only if it fails where it should. ``controls`` is the list; ``too_far`` on
what ``run`` returns must be empty for none of them, and is empty for ``FAULTLESS``, which goes the same way unharmed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from unittest import mock

import torch
from torch import Tensor

import snellen.encoders.vit as vit_module
from parity.cases import CONV, D2, D3, VIT, Case, cases
from parity.compare import Distance, distances, outward
from snellen.encoders.build import Encoder, build
from snellen.encoders.config import EncoderConfig
from snellen.encoders.position import rotation

Turn = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Control:
    """One fault, in the encoder of one case: another configuration, a changed parameter, or a changed function.

    ``where``: "resized" if only inputs whose position table is resized may come out too far.
    """

    fault: str
    case: Case
    config: EncoderConfig | None = None
    change: Callable[[Encoder], None] | None = None
    function: tuple[str, Callable[..., object]] | None = None  # what stands in for it in snellen.encoders.vit
    where: str = "anywhere"

    @property
    def name(self) -> str:
        """The fault and the encoder it is in."""
        return f"{self.case.family}, {self.case.name}, {self.case.dialect.library}: {self.fault}"


def too_far(found: list[Distance]) -> list[Distance]:
    """Return the distances over their limit; nothing compared is a failure of its own."""
    assert found
    return [distance for distance in found if not distance.value <= distance.limit]


def run(control: Control) -> list[Distance]:
    """Compare the faulty encoder with the library's, exactly as the suite compares the right one."""
    ours, oracle, state = outward(control.case)
    if control.config is not None:
        ours = build(control.config, "cpu")
        ours.load_state_dict(state)
    if control.change is not None:
        control.change(ours)
    with mock.patch.object(vit_module, *control.function) if control.function else nullcontext():
        return distances(control.case, ours, oracle)


def seen(control: Control, found: list[Distance]) -> bool:
    """Tell whether the comparison caught the fault, and where it had to."""
    far = too_far(found)
    if control.where == "resized":
        config = control.case.config
        far_sizes = {distance.size for distance in far}
        return bool(far) and (config.grid * config.patch,) * 2 not in far_sizes
    return bool(far)


def interleaved(x: Tensor, turn: Turn) -> Tensor:
    """Rotate neighbouring elements instead of halves."""
    cos, sin = (t[..., : x.shape[-1] // 2].repeat_interleave(2, -1) for t in turn)
    even, odd = x[..., ::2], x[..., 1::2]
    return (x * cos + torch.stack([-odd, even], -1).flatten(-2) * sin).to(x.dtype)


def with_turned_registers(grid: tuple[int, int], prefix: int, *rest: object) -> tuple[Tensor, ...]:
    """Give the prefix tokens the angle of the first patch."""
    turned = rotation(grid, prefix, *rest)
    return tuple(torch.cat([t[prefix : prefix + 1].expand(prefix, -1), t[prefix:]]) for t in turned)


def permute_qkv(encoder: Encoder) -> None:
    """Put k first."""
    for block in encoder.blocks:
        q, k, v = block.attention.qkv.weight.chunk(3)
        block.attention.qkv.weight.copy_(torch.cat([k, q, v]))


def drop_layer_scale(encoder: Encoder) -> None:
    """Leave the scale of the attention out of every block."""
    for block in encoder.blocks:
        block.scale1.factor.fill_(1)


def drop_one_scale(encoder: Encoder) -> None:
    """Leave the scale out of a ConvNeXt's first block."""
    encoder.body[0].blocks[0].scale.fill_(1)


def keep(encoder: Encoder) -> None:
    """Change nothing."""


CASES = cases()


def case_of(family: str, library: str, config: EncoderConfig | None = None) -> Case:
    """Return the first case of a family in a library, or the one with a given configuration."""
    return next(c for c in CASES if (c.family, c.dialect.library) == (family, library) and config in (None, c.config))


def controls() -> list[Control]:
    """Return every fault that has to be seen."""
    timm = {family: case_of(family, "timm") for family in ("dinov2", "dinov3_vit", "dinov3_convnext", "vit", "aimv2")}
    eps = {"dinov2": 1e-5, "dinov3_vit": 1e-6, "dinov3_convnext": 1e-5, "vit": 1e-5, "aimv2": 1e-6}
    found = [
        Control(fault=f"eps {value:g} of another family", case=case, config=replace(case.config, eps=value))
        for family, value in eps.items()
        for case in (timm[family], case_of(family, "transformers"))
    ]
    for family in ("dinov2", "dinov3_vit", "vit"):
        config = replace(timm[family].config, mlp="gelu_tanh")
        found.append(Control(fault="tanh GELU", case=timm[family], config=config))
    for family in ("dinov2", "dinov3_vit", "vit", "aimv2"):
        found.append(Control(fault="q, k, v permuted", case=timm[family], change=permute_qkv))
    for family in ("dinov2", "dinov3_vit"):
        found.append(Control(fault="LayerScale dropped", case=timm[family], change=drop_layer_scale))
    rope = timm["dinov3_vit"]
    rounded = replace(D3, rope_rounding=True)
    found += [
        Control(fault="scale dropped", case=case_of("dinov3_convnext", "timm", CONV), change=drop_one_scale),
        Control(fault="interleaved rotation", case=rope, function=("rotate", interleaved)),
        Control(fault="registers rotated", case=rope, function=("rotation", with_turned_registers)),
        Control(fault="periods rounded to bfloat16", case=rope, config=rounded),
    ]
    for family, base in (("dinov2", D2), ("vit", VIT)):
        case = case_of(family, "timm", base)
        for how in ("linear_corners", "bicubic", "bicubic_offset"):
            config = replace(base, resize=how)
            found.append(Control(fault=f"positions resized {how}", case=case, config=config, where="resized"))
    return found


FAULTLESS = Control(fault="none", case=case_of("dinov2", "timm", D2), config=D2, change=keep)
