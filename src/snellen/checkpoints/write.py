"""Write checkpoints: safetensors one tensor at a time, whole or in shards; torch and NumPy files from memory.

Everything is written beside its place and moved there when it is whole, so that a run that is cut off leaves nothing
that looks like a checkpoint.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snellen.checkpoints.tensors import DRAWN, ITEM_BYTES, Entry, raw_bytes
from snellen.draft import drafted
from snellen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Named = tuple[str, "Tensor"]

SHARD_BYTES = 5 * 10**9
"""Largest safetensors file written for transformers; larger checkpoints are written in shards, with an index."""

# safetensors' own names of the dtypes that checkpoints are written in.
CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be written: the entry of every tensor, known beforehand, and the tensors in the same order.

    ``metadata`` goes into the header of a safetensors file; of it, archives keep only that weights were drawn.
    """

    entries: dict[str, Entry]
    tensors: Callable[[], Iterator[Named]]
    metadata: dict[str, str] = field(default_factory=dict)


def write_safetensors(content: Content, folder: Path, name: str, shard_bytes: int | None = None) -> list[Path]:
    """Write ``folder/name``, or shards of at most ``shard_bytes`` with an index; return the files.

    At no time is more than one tensor in memory.
    """
    shards = _shards(content.entries, shard_bytes)
    if len(shards) == 1:
        paths = [folder / name]
    else:
        stem = name.removesuffix(".safetensors")
        paths = [folder / f"{stem}-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    tensors = content.tensors()
    for path, entries in zip(paths, shards, strict=True):
        _write_one(path, replace(content, entries=entries), tensors)
    if len(paths) > 1:
        home = {key: path.name for path, entries in zip(paths, shards, strict=True) for key in entries}
        total = sum(entry.nbytes for entry in content.entries.values())
        index = folder / f"{name}.index.json"
        write_json(index, {"metadata": {"total_size": total, **content.metadata}, "weight_map": home})
        paths.append(index)
    return paths


def write_torch(content: Content, path: Path) -> list[Path]:
    """Write a plain state dict with ``torch.save``; the whole checkpoint is in memory."""
    import torch

    with drafted(path) as draft:
        torch.save({name: tensor.clone() for name, tensor in content.tensors()}, draft)
        _comment(draft, content)
    return [path]


def write_npz(content: Content, path: Path) -> list[Path]:
    """Write an uncompressed ``.npz``; the whole checkpoint is in memory.

    bfloat16 becomes float32, which holds it exactly.
    """
    import numpy as np
    import torch

    arrays = {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for name, tensor in content.tensors()
    }
    with drafted(path) as draft:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        _comment(draft, content)
    return [path]


def write_json(path: Path, document: object) -> None:
    """Write a JSON document, indented."""
    with drafted(path) as draft:
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def check_free(path: Path) -> None:
    """Raise UsageError where something stands already."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(
            f"'{path}' exists already",
            expected="a new name, or an empty folder",
            todo="name another place, or remove what stands there; nothing was written",
        )


def _comment(archive: Path, content: Content) -> None:
    """Note in an archive's comment, which every reader passes over, that its weights were drawn."""
    if DRAWN in content.metadata:
        with zipfile.ZipFile(archive, "a") as file:
            file.comment = f"{DRAWN}={content.metadata[DRAWN]}".encode()


def _shards(entries: dict[str, Entry], limit: int | None) -> list[dict[str, Entry]]:
    shards: list[dict[str, Entry]] = [{}]
    size = 0
    for name, entry in entries.items():
        if limit is not None and shards[-1] and size + entry.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = entry
        size += entry.nbytes
    return shards


def _write_one(path: Path, content: Content, tensors: Iterator[Named]) -> None:
    """Write one safetensors file: the length of the header, the header, the tensors one after another."""
    header: dict[str, object] = {"__metadata__": {"format": "pt", **content.metadata}}
    start = 0
    for name, entry in content.entries.items():
        end = start + math.prod(entry.shape) * ITEM_BYTES[entry.dtype]
        header[name] = {"dtype": CODES[entry.dtype], "shape": list(entry.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    with drafted(path) as draft, draft.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, entry in content.entries.items():
            key, tensor = next(tensors)
            assert (key, tuple(tensor.shape), tensor.dtype) == (name, entry.shape, _torch_dtype(entry.dtype))
            file.write(raw_bytes(tensor.contiguous()))


def _torch_dtype(name: str) -> object:
    import torch

    return getattr(torch, name)


def entries_of(tensors: Iterable[Named]) -> dict[str, Entry]:
    """Return the entry of every tensor; meta tensors do."""
    return {name: Entry(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for name, tensor in tensors}
