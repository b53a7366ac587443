"""What an opened checkpoint looks like, whatever wrote it: named tensors that are read one at a time.

In: nothing but names, shapes and dtypes when a file is opened. Out: a tensor in its own memory at each ``read``.
The readers (``safetensors_file``, ``torch_file``, ``npz_file``) fill in how bytes are fetched; importing this
module does not import torch.
"""

from __future__ import annotations

import hashlib
import math
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from snellen.errors import BadFile, UnknownName

if TYPE_CHECKING:
    import torch

Format = Literal["safetensors", "torch", "npz"]

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
}
"""Bytes of one element of every dtype that is read, under the name torch gives it."""

OWN_PAGES = 256 * 2**10  # bytes from which a tensor gets pages of its own

DRAWN = "snellen.weights"
"""Key of the metadata under which files of drawn weights say so ("seed:0"), for they look like any others."""

DIGEST_VERSION = b"snellen tensors 1\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a tensor before it is read."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor in memory."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a reader found when it opened a file: everything but the tensors themselves."""

    path: Path
    format: Format
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str] = field(default_factory=dict)
    wrapper: str | None = None
    extras: Mapping[str, str] = field(default_factory=dict)


class Tensors(ABC):
    """Named tensors of a checkpoint, read one at a time; a context manager that holds the file open.

    ``path``      the file (or the index of a sharded checkpoint)
    ``format``    "safetensors", "torch" or "npz"
    ``metadata``  the free text a safetensors header or an index carries, or the comment of an archive
    ``wrapper``   the entry of a torch file the tensors were found under ("model", "teacher", ...); None: at the top
    ``extras``    what stands beside the tensors and is none (an epoch, a string): name and a short description
    """

    def __init__(self, description: Description) -> None:
        self.path = description.path
        self.format: Format = description.format
        self.metadata = dict(description.metadata)
        self.wrapper = description.wrapper
        self.extras = dict(description.extras)
        self._entries = dict(description.entries)

    def names(self) -> list[str]:
        """List the names in the order of the file."""
        return list(self._entries)

    def keys(self) -> list[str]:
        """List the names in the order of the file."""
        return self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def entry(self, name: str) -> Entry:
        """Return dtype and shape of a tensor; raise UnknownName where there is none of that name."""
        if name not in self._entries:
            raise UnknownName(f"tensor in '{self.path}'", name, self._entries)
        return self._entries[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without reading it."""
        return self.entry(name).shape

    def dtype(self, name: str) -> str:
        """Return the dtype of a tensor without reading it: "float32", "bfloat16", ..."""
        return self.entry(name).dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together, each in the dtype it is stored in."""
        return sum(entry.nbytes for entry in self._entries.values())

    def read(self, name: str) -> torch.Tensor:
        """Read one tensor: contiguous, on the CPU, in memory of its own; raise BadFile if the bytes are not there."""
        self.entry(name)
        return self._read(name)

    def release(self, name: str) -> None:
        """Say that ``name`` is done with: a file that had to be loaded whole gives its memory back.

        Nothing to do for the others, which keep nothing after ``read``. Reading the tensor again is allowed.
        """
        self.entry(name)

    def digest(self) -> str:
        """Return a sha256 (hex) of the tensors, the same for the same tensors in any file format.

        Hashed are, for every tensor in the order of the sorted names: name, dtype and shape as text, and
        the elements as contiguous little-endian bytes. Metadata, extras, wrapper and file order do not count.
        """
        whole = hashlib.sha256(DIGEST_VERSION)
        for name in sorted(self._entries):
            entry = self._entries[name]
            shape = ",".join(map(str, entry.shape))
            whole.update(f"{len(name.encode())}:{name} {entry.dtype} [{shape}]\n".encode())
            whole.update(raw_bytes(self.read(name)))
            self.release(name)
        return whole.hexdigest()

    @abstractmethod
    def close(self) -> None:
        """Close the file; tensors that were read stay valid."""

    def __enter__(self) -> Tensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _read(self, name: str) -> torch.Tensor:
        """Fetch the tensor ``name``, which exists."""


class ShardedTensors(Tensors):
    """Several files that together are one checkpoint."""

    def __init__(self, path: Path, shards: list[Tensors], metadata: Mapping[str, str]) -> None:
        self._home = {name: shard for shard in shards for name in shard}
        self._shards = shards
        entries = {name: shard.entry(name) for name, shard in self._home.items()}
        super().__init__(Description(path=path, format=shards[0].format, entries=entries, metadata=metadata))

    @property
    def parts(self) -> list[Path]:
        """List the files the tensors stand in."""
        return [shard.path for shard in self._shards]

    def release(self, name: str) -> None:
        """Say that ``name`` is done with."""
        self.entry(name)
        self._home[name].release(name)

    def close(self) -> None:
        """Close every file."""
        for shard in self._shards:
            shard.close()

    def _read(self, name: str) -> torch.Tensor:
        return self._home[name].read(name)


def own_memory(entry: Entry) -> torch.Tensor:
    """Return an uninitialised CPU tensor of the shape and dtype of ``entry``.

    A large one gets pages of its own from the system, which takes them back the moment the tensor is dropped.
    Memory from the C heap would not do: between the tensors a loader keeps, the dropped ones leave holes that
    count as used (half as much again as what is kept, measured with glibc).
    """
    import torch

    dtype = getattr(torch, entry.dtype)
    if entry.nbytes < OWN_PAGES:
        return torch.empty(entry.shape, dtype=dtype, device="cpu")
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return torch.frombuffer(mmap.mmap(-1, entry.nbytes, **private), dtype=dtype).view(entry.shape)


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a contiguous CPU tensor without copying them: writable, flat."""
    import torch

    return tensor.reshape(-1).view(torch.uint8).numpy().data


def comment_metadata(comment: bytes) -> dict[str, str]:
    """Return what a zip archive's comment says of drawn weights, if that is what it is about."""
    key, _, value = comment.decode("utf-8", "replace").partition("=")
    return {key: value} if key == DRAWN else {}


def unreadable_dtype(path: Path, name: str, dtype: str) -> BadFile:
    """Build the error for a tensor whose dtype is not read."""
    return BadFile(
        f"the tensor '{name}' in '{path}' has the dtype {dtype}, which is not read here",
        expected=f"one of {', '.join(ITEM_BYTES)}",
        todo="save the weights as float32, float16 or bfloat16",
    )
