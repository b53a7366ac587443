"""Hand jobs to the JAX code, which runs under another Python: one process for all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from originals.ours import Outputs, pixels
from originals.shrunken import Size
from snellen.encoders.config import ViTConfig

HELPER = Path(__file__).with_name("jax_side.py")


@dataclass(frozen=True)
class Answer:
    """What became of one job: the outputs by size and dtype, what their loader said, what load_pretrained said."""

    outputs: dict[tuple[Size, str], Outputs]
    fault: str
    load_pretrained: tuple[str, ...]


def job(do: str, config: ViTConfig, **more: Any) -> dict[str, Any]:
    """Describe a job: their ViT-B_16 with the sizes of ``config``."""
    return {
        "do": do,
        "like": "ViT-B_16",
        "classes": config.classes,
        "grid": config.grid,
        "settings": {
            "patches": {"size": [config.patch, config.patch]},
            "hidden_size": config.width,
            "representation_size": config.width if config.pooler else None,
        },
        "transformer": {"mlp_dim": config.hidden, "num_heads": config.heads, "num_layers": config.depth},
        "batch": 2,
        **more,
    }


def ask(python: str, clone: Path, jobs: list[dict[str, Any]], folder: Path) -> tuple[list[Answer], dict[str, Any]]:
    """Run the jobs; return an answer for each and facts about their code. Raises SystemExit if the process fails."""
    for size in {tuple(size) for job in jobs for size in job.get("sizes", ())}:
        np.save(folder / f"pixels-{size[0]}x{size[1]}.npy", pixels(size).numpy())
    (folder / "jobs.json").write_text(json.dumps({"clone": str(clone.resolve()), "jobs": jobs}))
    done = subprocess.run([python, str(HELPER), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"the JAX code failed under {python}:\n{done.stderr[-2000:]}\n"
            "  next: give a Python that has jax, flax, scipy, ml_collections and packaging with --python"
        )
    document = json.loads((folder / "answers.json").read_text())
    return [_answer(folder, i, found) for i, found in enumerate(document["answers"])], document["facts"]


def _answer(folder: Path, index: int, found: dict[str, Any]) -> Answer:
    outputs: dict[tuple[Size, str], Outputs] = {}
    path = folder / f"answer-{index}.npz"
    if path.exists():
        with np.load(path) as arrays:
            for name in arrays:
                side, dtype, part = name.split(" ", 2)
                height, width = map(int, side.split("x"))
                outputs.setdefault(((height, width), dtype), {})[part] = torch.from_numpy(arrays[name])
        path.unlink()
    return Answer(outputs, found.get("fault", ""), tuple(found.get("load_pretrained", ())))
