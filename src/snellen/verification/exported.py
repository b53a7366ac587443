"""Export a model to a file and prove the file: what was written is run, and judged as any other runner is.

In: a loaded model and a place. Out: a record; and the file, unless it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from snellen.errors import CandidateError
from snellen.images import decode
from snellen.model.model import Model
from snellen.model.source import PathName
from snellen.runtimes import export as files
from snellen.runtimes import onnx_file
from snellen.runtimes.graph import Graph
from snellen.verification import glance, trusted
from snellen.verification.glance import Judged
from snellen.verification.inputs import PHOTOS

SHOWN = ("astronaut.jpg", "coffee.jpg", "rocket_portrait.jpg")
"""The photographs a file is judged on: three together, and one alone."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """What was written, and what came out when it was run. ``figures``: by output, error and limit."""

    variant: str
    digest: str | None  # of the weights
    drawn: bool
    format: str
    opset: int | None  # of ONNX
    files: tuple[str, ...]  # none where the check failed
    bytes: int
    input: tuple[str | int, ...]
    outputs: tuple[str, ...]
    recipe: str
    outcome: str  # pass or fail
    because: str
    worst: float | None  # error over limit
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-serialisable values."""
        return {"schema": "snellen.export/1", **asdict(self)}


def export(model: Model, path: PathName, kind: str | None = None, progress: Progress | None = None) -> ExportRecord:
    """Write ``model`` to ``path`` as ``kind`` (onnx or openvino; by the path's ending where None), and run it.

    The batch of the file is free, the size that of the model's recipe. It is written under another name, run on
    photographs with batches of 3 and 1, held against the float64 golden, and only then moved to ``path``. Nothing
    raises because it fails: then nothing is left, and the record says why.

    Raises UsageError for a model that is not float32 on the CPU, or a path that cannot be written to; MissingPackage.
    """
    path = Path(path)
    kind = files.format_of(path, kind)
    trusted.check_model(model)
    say = progress or (lambda _: None)
    pixels = torch.stack([model.recipe.pixels(decode(PHOTOS / name)) for name in SHOWN])
    with files.drafted(path) as folder:
        say(f"writing {path.name}")
        exported, written = files.write(model, folder / path.name, kind)
        size = sum(file.stat().st_size for file in written)
        try:
            with files.Exported(written[0], kind, model) as runner:
                found = glance.prepare(model, pixels, ("float32",), say).judge(runner, "float32")
        except CandidateError as error:
            found = Judged(outcome="fail", because=error.seen)
        placed = files.publish(written, path.parent) if found.outcome == "pass" else []
    return _record(model, exported, kind, (placed, size), found)


def _record(model: Model, exported: Graph, kind: str, written: tuple[list[Path], int], found: Judged) -> ExportRecord:
    record = model.record
    return ExportRecord(
        variant=record.variant,
        digest=record.digest,
        drawn=not record.origin.trained,
        format=kind,
        opset=onnx_file.OPSET if kind == "onnx" else None,
        files=tuple(map(str, written[0])),
        bytes=written[1],
        input=(onnx_file.BATCH, 3, *exported.size),
        outputs=exported.names,
        recipe=model.recipe.text,
        outcome=found.outcome,
        because=found.because,
        worst=found.worst,
        figures=found.figures,
    )
