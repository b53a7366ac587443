"""A shrunken DINOv2 in a folder as its library saves it, and how it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from bad_cases.making import SMALL, small
from snellen.checkpoints.hub_config import write_config
from snellen.runtimes.opening import Asked, embedder

RECIPE = "stored | squash 28 bicubic | scale | mean 0.5 0.5 0.5 | std 0.25 0.25 0.25 | pool cls"


def written(at: Path) -> Path:
    """Write it into a new folder."""
    at.mkdir()
    (at / "config.json").write_text(json.dumps(write_config("dinov2", SMALL, 28)))
    save_file(small(), at / "model.safetensors")
    return at


def ask(folder: Path, **more) -> Asked:
    return Asked(name=str(folder), recipe=RECIPE, **more)


def pixels(count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, 28, 28), dtype=np.float32)


def embedded(asked: Asked) -> np.ndarray:
    with embedder(asked) as model:
        return np.concatenate(list(model.vectors([pixels()])))
