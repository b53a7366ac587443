"""Checkpoints for the table: shrunken ones with numbers in them, and full-size ones that take no room on the disk."""

from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save

from bad_cases.table import Place
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import plan
from snellen.checkpoints.hub_config import write_config
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.model.loading import native_plan, seeded_config
from snellen.zoo import find

SMALL = ViTConfig(patch=14, width=16, depth=1, heads=2, hidden=64, eps=1e-6, grid=2, layer_scale=True, resize="bicubic")
SHAPED_LIKE_VIT = replace(SMALL, layer_scale=False, patch=16, eps=1e-12)

Shapes = Mapping[str, tuple[int, ...]]


def shapes(family: str, dialect: str, config: EncoderConfig) -> Shapes:
    """Return names and shapes of a checkpoint."""
    spelling = next(d for d in DIALECTS if (d.family, d.name) == (family, dialect))
    return plan(spelling, config).foreign()


def released(name: str) -> Shapes:
    """Return names and shapes of a variant's checkpoint, in the spelling of the name's library."""
    named = find(name)
    return native_plan(named, seeded_config(named)).foreign()


def drawn(wanted: Shapes) -> dict[str, torch.Tensor]:
    """Return tensors of these names and shapes, with something in them."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in wanted.items()}


def small(family: str = "dinov2", config: EncoderConfig = SMALL) -> dict[str, torch.Tensor]:
    """Return the tensors of a shrunken encoder as transformers names them."""
    return drawn(shapes(family, "transformers", config))


def folder(at: Place, tensors: dict[str, torch.Tensor] | None = None, *, name: str = "model", **changes: Any) -> str:
    """Write a shrunken DINOv2 as save_pretrained does; ``changes`` go into its config.json, None takes a key out."""
    document = {**write_config("dinov2", SMALL, 28), **changes}
    kept = {key: value for key, value in document.items() if value is not None}
    at.file(f"{name}/config.json", json.dumps(kept))
    at.file(f"{name}/model.safetensors", save(small() if tensors is None else tensors))
    return f"./{name}"


def hollow(path: Path, wanted: Shapes, one: str | None = None) -> str:
    """Write a safetensors file of zeros that the file system need not store; ``one``: a tensor of ones in it."""
    header: dict[str, Any] = {}
    start = 0
    for name, shape in wanted.items():
        end = start + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + start)
        if one is not None:
            first, last = header[one]["data_offsets"]
            file.seek(8 + len(text) + first)
            file.write(b"\x00\x3c" * ((last - first) // 2))  # 1.0 in float16
    return path.name


def torch_bytes(value: object) -> bytes:
    """Return what torch.save writes."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


class Trap:
    """An object whose unpickling would create the file ``sprung`` in the working directory."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("sprung", "w")


def trap(protocol: int = 2) -> bytes:
    """Return a plain pickle of a trap."""
    return pickle.dumps(Trap(), protocol=protocol)


def photo(at: Place, name: str = "photo.png", size: tuple[int, int] = (40, 30)) -> str:
    """Write one good picture."""
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(stream, name.rpartition(".")[2].upper().replace("JPG", "JPEG"))
    at.file(name, stream.getvalue())
    return name
