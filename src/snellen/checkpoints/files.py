"""Open a checkpoint, whatever it is: one file, the index of several, or the folder a library wrote.

In: a path. Out: ``Tensors``, read one at a time, or a BadFile that says what the file is instead. What a file
is, is decided by ``sniff``; how it is read, by the readers beside this file; what its names mean, by nobody here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snellen.checkpoints.sniff import EXPECTED, identify, read_json, unreadable
from snellen.checkpoints.tensors import Entry, Format, ShardedTensors, Tensors
from snellen.errors import BadFile

__all__ = [
    "Entry",
    "FolderContents",
    "Format",
    "Tensors",
    "choose_weights",
    "file_sha256",
    "find_in_folder",
    "open_tensors",
    "read_index",
    "shards_of",
]

ORDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What save_pretrained and timm's hub layout write, the better first: the first one that is there is used."""

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".safetensors.index.json", ".bin.index.json")

TRAINING = re.compile(r"(training_args\.bin|(optimizer|scheduler|scaler|rng_state.*)\.(pt|pth|bin))$")
"""Files a training run leaves beside the weights."""

BLOCK = 2**20


@dataclass(frozen=True)
class FolderContents:
    """The weights of a folder (a file, or the index of several) and its config.json, if it has one."""

    folder: Path
    weights: Path
    config: dict[str, Any] | None


def open_tensors(path: Path, wrapper: str | None = None) -> Tensors:
    """Open a checkpoint file, an index of shards, or a folder; nothing is read but names, shapes and dtypes.

    ``wrapper`` names the entry of a torch file to take the tensors from ("teacher", "." for the top); without it
    the only one there is taken. Raises BadFile for everything that is not a readable checkpoint.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir, does not raise where a parent may not be entered
        path = find_in_folder(path).weights
    kind = identify(path)
    if wrapper is not None and kind != "torch":
        raise BadFile(
            f"'{path}' has no entry '{wrapper}': only torch files nest their tensors",
            todo=f"leave out the '#{wrapper}'",
        )
    try:
        return _open_index(path) if kind == "index" else _open_one(path, kind, wrapper)
    except OSError as error:
        raise unreadable(path, error) from None


def _open_one(path: Path, kind: str, wrapper: str | None) -> Tensors:
    tensors: Tensors
    if kind == "safetensors":
        from snellen.checkpoints.safetensors_file import SafetensorsFile

        tensors = SafetensorsFile(path)
    elif kind == "npz":
        from snellen.checkpoints.npz_file import NpzFile

        tensors = NpzFile(path)
    else:
        from snellen.checkpoints.torch_file import TorchFile

        tensors = TorchFile(path, wrapper)
    if not len(tensors):
        tensors.close()
        raise BadFile(
            f"'{path}' holds no tensors", todo="save the weights again, and look whether they are in the file"
        )
    return tensors


def _open_index(path: Path) -> Tensors:
    """Open the shards of an index; every one must be there and hold exactly what the index says."""
    shards = list[Tensors]()
    try:
        for shard, names in shards_of(path).items():
            kind = identify(shard)
            if kind == "index":
                raise BadFile(f"'{shard}', named as a shard by '{path.name}', is an index itself")
            shards.append(_open_one(shard, kind, None))
            _agree(path, shards[-1], names)
    except BaseException:
        for opened in shards:
            opened.close()
        raise
    document = read_json(path)
    metadata = document.get("metadata") if isinstance(document, dict) else None
    texts = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
    return ShardedTensors(path, shards, texts)


def shards_of(index: Path) -> dict[Path, set[str]]:
    """Return the shards an index names and the tensors in each; raise BadFile unless every shard is there."""
    shards = read_index(index)
    missing = sorted(shard.name for shard in shards if not shard.exists())
    if missing:
        raise BadFile(
            f"{len(missing)} of the {len(shards)} shards named by '{index}' are missing: {_some(missing)}",
            todo=f"download them into '{index.parent}'",
        )
    return shards


def read_index(index: Path) -> dict[Path, set[str]]:
    """Return the shards an index names and the tensors in each, whether or not they are there."""
    document = read_json(index)
    table = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise BadFile(
            f"'{index}' is not an index of shards: it has no table 'weight_map' of names", todo="download it again"
        )
    outside = sorted({name for name in table.values() if Path(name).name != name or name in ("", ".", "..")})
    if outside:
        raise BadFile(
            f"'{index}' names shards outside its folder: {', '.join(outside[:5])}",
            expected="plain file names",
            todo="download it from a source you trust: nothing outside the folder is read",
        )
    shards = defaultdict[Path, set[str]](set)
    for tensor, name in table.items():
        shards[index.parent / name].add(tensor)
    return dict(sorted(shards.items()))


def _agree(index: Path, shard: Tensors, names: set[str]) -> None:
    absent, extra = sorted(names - set(shard)), sorted(set(shard) - names)
    if absent or extra:
        parts = [f"lacks {_some(absent)}"] * bool(absent) + [f"has besides {_some(extra)}"] * bool(extra)
        raise BadFile(
            f"'{shard.path}' does not hold what '{index.name}' says: it {' and '.join(parts)}",
            todo="download index and shards again, all from one revision",
        )


def _some(names: list[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def find_in_folder(folder: Path) -> FolderContents:
    """Find the weights and the config of a folder as save_pretrained, timm or a hub client writes it.

    Raises BadFile if there are no weights, several candidates, or a config.json that is not a JSON object.
    """
    folder = Path(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.is_dir())
    except NotADirectoryError:
        raise BadFile(f"'{folder}' is a file", expected="a folder", todo="name the folder it stands in") from None
    except OSError as error:
        raise unreadable(folder, error) from None
    return FolderContents(folder, folder / choose_weights(names, f"the folder '{folder}'"), _config(folder))


def choose_weights(names: list[str], where: str) -> str:
    """Choose one weights file among the file names of a folder or repository called ``where``, or raise BadFile."""
    for name in ORDER:
        if name in names:
            return name
    candidates = [name for name in names if name.endswith(ENDINGS) and not TRAINING.fullmatch(name)]
    indices = [name for name in candidates if name.endswith(".index.json")]
    if len(candidates) == 1 or len(indices) == 1:
        return (indices or candidates)[0]
    if candidates:
        numbered = any(re.search(r"-\d+-of-\d+\.", name) for name in candidates)
        raise BadFile(
            f"{where} has several files that could be the weights: {_some(candidates)}",
            expected="the index (*.index.json) that belongs to the shards" if numbered else f"one, or {ORDER[0]}",
            todo="download the index as well" if numbered else "name the file instead of the folder",
        )
    raise BadFile(
        f"{where} has no weights: it holds {_some(names) or 'nothing'}",
        expected=EXPECTED,
        todo="download the weights into it, or name another one",
    )


def _config(folder: Path) -> dict[str, Any] | None:
    if not (folder / "config.json").exists():
        return None
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise BadFile(
            f"'{folder / 'config.json'}' is not a JSON object but a {type(config).__name__}",
            todo="download the file again, or mend it",
        )
    return config


def file_sha256(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes, as hubs publish it."""
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                whole.update(block)
    except OSError as error:
        raise unreadable(path, error) from None
    return whole.hexdigest()
