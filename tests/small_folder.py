"""A shrunken DINOv2 in a folder as its library saves it, how it is asked for, and how it is made 8-bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

import snellen
from bad_cases.making import SMALL, small
from snellen import devices
from snellen.checkpoints.hub_config import write_config
from snellen.records import Choice
from snellen.records.plan import Plan, Setup
from snellen.runtimes import make, plans
from snellen.runtimes.opening import Asked, embedder
from snellen.runtimes.openvino.quantise import Calibration

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


def saved(folder: Path, setup: Setup, **changes: str) -> None:
    """Keep a plan for the folder's encoder, as the tuner would."""
    with embedder(ask(folder)) as model:
        record = model.record
    facts = {
        "goal": "throughput",
        "digest": record.digest,
        "recipe_hash": record.recipe_hash,
        "device": "cpu",
        "machine": plans.fingerprint("cpu"),
        "made_at": "2026-01-01T00:00:00+00:00",
        "version": "0",
    }
    plans.save(Plan(setup=setup, choice=Choice(str(setup), "it was the fastest that passed"), **{**facts, **changes}))


def calibration(seed: int = 1, scale: float = 100.0) -> Calibration:
    """Give images whose ranges are unlike those of photographs."""
    images = scale * np.random.default_rng(seed).standard_normal((4, 3, 28, 28), dtype=np.float32)
    return Calibration(list(images[1:]), [images[0]])


def quantised(folder: Path, images: Calibration | str | None) -> np.ndarray:
    """Make the folder's encoder 8-bit, or find what was made so before, and embed with it."""
    model = snellen.load(folder, recipe=RECIPE)
    with make("openvino", model, devices.resolve("cpu"), "int8", calibration=images) as runner:
        return next(iter(runner.vectors([pixels()])))
