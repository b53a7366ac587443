"""snellen's side of the comparison: draw, write in the original dialect, run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from originals.result import Differences
from originals.shrunken import Case, Size
from snellen.checkpoints.seeded import draw
from snellen.checkpoints.write import Content, entries_of, write_npz, write_safetensors, write_torch
from snellen.encoders.build import Encoder, build

SEED = 1
PIXELS = 3  # the seed of the input
Outputs = dict[str, Tensor]


def drawn(case: Case) -> Encoder:
    """Build a shrunken encoder with drawn weights."""
    encoder = build(case.config, "cpu")
    shapes = case.plan().native
    encoder.load_state_dict({name: draw(SEED, name, shape, case.config) for name, shape in shapes.items()})
    return encoder


def write(case: Case, encoder: Encoder, folder: Path) -> Path:
    """Write a shrunken encoder in the original dialect, in the format of the original file."""
    spelled, state = case.plan(), encoder.state_dict()
    content = Content(entries_of(spelled.write(state.__getitem__)), lambda: spelled.write(state.__getitem__))
    library = spelled.dialect.library
    if library == "apple":
        return write_safetensors(content, folder, "model.safetensors")[0]
    path = folder / {"meta": "model.pth", "jax": "model.npz"}[library]
    return (write_torch if library == "meta" else write_npz)(content, path)[0]


def pixels(size: Size, batch: int = 2) -> Tensor:
    """Draw an input, float32 [batch, 3, h, w]: the same whoever asks."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(PIXELS))


@torch.inference_mode()
def run(encoder: Encoder, size: Size, dtype: torch.dtype, batch: int = 2) -> Outputs:
    """Run an encoder; blocks are their patch tokens, one above another [L * B, N, D], ConvNeXt's are left apart."""
    encoder.to(dtype)
    features = encoder(pixels(size, batch).to(dtype), encoder.layer_stages)
    maps = [encoder.as_map(features.stages[name], features.grid).flatten(2) for name in encoder.layer_stages]
    outputs = {"cls/pooled": _both(features.cls, features.pooled), "patches": features.patches}
    outputs |= {"registers": features.registers} if features.registers.shape[1] else {}
    outputs |= {"logits": features.logits} if features.logits is not None else {}
    return outputs | {"blocks": torch.cat([stage.flatten() for stage in maps])}


def _both(cls: Tensor | None, pooled: Tensor) -> Tensor:
    """Put class token and pooled vector side by side, [B, 2 D]; an encoder without a class token has none of theirs."""
    return torch.cat([pooled if cls is None else cls, pooled], dim=1)


def differences(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Differences:
    """Return the relative Frobenius difference of every part that theirs has; shapes must agree."""
    found = {}
    for part, tensor in theirs.items():
        if mine[part].shape != tensor.shape:
            raise ValueError(f"{part}: ours has shape {list(mine[part].shape)}, theirs {list(tensor.shape)}")
        found[part] = float((mine[part].double() - tensor.double()).norm() / tensor.double().norm())
    return found
