"""A model laid down where other processes can open it: its weights in one file that they share in memory.

In: a model in float32 on the CPU. Out: a folder, and the model again from it. The process of a candidate maps the file,
so that several of them hold the weights once.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snellen import draft
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig, ViTConfig
from snellen.model.model import Model
from snellen.recipes import Recipe
from snellen.records import ModelRecord
from snellen.records.reading import read

WEIGHTS, ABOUT = "weights.float32", "model.json"
CONFIGS: dict[str, type[ViTConfig] | type[ConvNeXtConfig]] = {"vit": ViTConfig, "convnext": ConvNeXtConfig}
ALIGNED = 64
"""Bytes that every tensor's place is a multiple of, as where torch allocates it: a cache line."""


def lay_down(model: Model, folder: Path) -> None:
    """Write a model into ``folder``. Raises Unavailable where the disk refuses."""
    config, places = model.encoder.config, {}
    with draft.writing(folder / WEIGHTS), (folder / WEIGHTS).open("wb") as file:
        for name, tensor in model.encoder.state_dict().items():
            file.write(bytes(-file.tell() % ALIGNED))
            places[name] = (file.tell() // 4, list(tensor.shape))
            file.write(tensor.detach().contiguous().numpy().data)
        about = {
            "kind": next(kind for kind, cls in CONFIGS.items() if isinstance(config, cls)),
            "config": asdict(config),
            "recipe": model.recipe.text,
            "record": asdict(model.record),
            "places": places,
        }
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


@dataclass(frozen=True)
class Mapped:
    """A model whose parameters are mapped from a file."""

    model: Model
    numbers: np.memmap[Any, Any]

    def release(self) -> None:
        """Let go of the pages that were read so far; those that are still used come back by themselves."""
        mapped = getattr(self.numbers, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def take_up(folder: Path) -> Mapped:
    """Return the model that ``lay_down`` wrote."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    numbers = np.memmap(folder / WEIGHTS, dtype=np.float32, mode="c")  # "c": torch wants what it could write to
    whole = torch.from_numpy(numbers)
    encoder = build(read(CONFIGS[about["kind"]], about["config"]))
    state = {name: whole[at : at + prod(shape)].view(shape) for name, (at, shape) in about["places"].items()}
    encoder.load_state_dict(state, assign=True)
    encoder.requires_grad_(False)
    return Mapped(Model(encoder, Recipe.parse(about["recipe"]), read(ModelRecord, about["record"])), numbers)
