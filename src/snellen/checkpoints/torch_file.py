"""Read what ``torch.save`` wrote, without ever running what a pickle may ask for.

In: a ``.pth``, ``.pt`` or ``.bin`` file, in the zip format of today or the older one. Out: its tensors. The zip
format is mapped into memory, each tensor is copied out, and its pages are let go, so that a loaded model
costs its own size and about one tensor more. The older format can only be loaded whole. Training files keep
the weights under an entry such as "model" or "teacher": it is found if there is one, and has to be named if there
are several.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.checkpoints.tensors import (
    ITEM_BYTES,
    Description,
    Entry,
    Tensors,
    comment_metadata,
    own_memory,
    unreadable_dtype,
)
from snellen.errors import BadFile

if TYPE_CHECKING:
    import torch

WRAPPERS = (
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "teacher",
    "student",
    "model_ema",
    "state_dict_ema",
    "ema",
)
"""Entries that training loops keep the weights of a model under."""

TOP = "."
"""The wrapper's name that means: no wrapper, the tensors at the top of the file."""

CHUNK = 16 * 2**20  # bytes copied before their pages are let go


@dataclass(frozen=True)
class Unwrapped:
    """A state dict, the entry it stood under, and what stands beside its tensors."""

    tensors: dict[str, torch.Tensor]
    wrapper: str | None
    extras: dict[str, str]


class TorchFile(Tensors):
    """The tensors of one file written by ``torch.save``."""

    def __init__(self, path: Path, wrapper: str | None = None) -> None:
        self._mapped = _can_be_mapped(path)
        self._asked = wrapper
        found = unwrap(_load(path, self._mapped), wrapper, path)
        self._tensors = found.tensors
        entries = {name: _entry(path, name, tensor) for name, tensor in found.tensors.items()}
        super().__init__(
            Description(
                path=path,
                format="torch",
                entries=entries,
                metadata=_metadata(path),
                wrapper=found.wrapper,
                extras=found.extras,
            )
        )

    def close(self) -> None:
        """Let go of the file."""
        self._tensors = {}

    def release(self, name: str) -> None:
        """Drop a tensor of a file that is held in memory whole; it is loaded again if it is asked for again."""
        self.entry(name)
        if not self._mapped:
            self._tensors.pop(name, None)

    def _read(self, name: str) -> torch.Tensor:
        if name not in self._tensors:
            self._tensors = unwrap(_load(self.path, self._mapped), self._asked, self.path).tensors
        source, tensor = self._tensors[name].detach(), own_memory(self._entries[name])
        if not self._mapped:
            return tensor.copy_(source)
        if source.is_contiguous():
            _copy_out(source, tensor)
        else:
            tensor.copy_(source)
            storage = source.untyped_storage()
            drop_pages(storage.data_ptr(), storage.nbytes())
        return tensor


def _copy_out(source: torch.Tensor, target: torch.Tensor) -> None:
    """Copy a mapped tensor piece by piece, letting go of the file's pages behind the copy."""
    before, after = source.view(-1), target.view(-1)
    step = CHUNK // source.element_size()
    for start in range(0, source.numel(), step):
        after[start : start + step] = before[start : start + step]
        drop_pages(before.data_ptr(), min(start + step, source.numel()) * source.element_size())


def drop_pages(address: int, length: int) -> None:
    """Let the system take back the whole pages inside a range of a mapped file; they come back when touched.

    Only what is clean may be dropped: a change made to a private mapping would be lost. Does nothing where
    the platform has no such call.
    """
    advice = getattr(mmap, "MADV_DONTNEED", None)
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (address + length) // mmap.PAGESIZE * mmap.PAGESIZE
    if advice is not None and last > first:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(advice))


def _metadata(path: Path) -> dict[str, str]:
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        return comment_metadata(archive.comment)


def _can_be_mapped(path: Path) -> bool:
    """Say whether the records of the file can be used as they stand: a zip, stored, none of them compressed."""
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):  # by that name torch calls another library
        return False
    with zipfile.ZipFile(path) as archive:
        return all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())


def _load(path: Path, mapped: bool) -> object:
    """Load with ``weights_only``; raise BadFile for everything that keeps torch from it."""
    import torch

    try:
        if mapped:
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken pickle can raise anything
        wanted = _unsafe_names(path, str(error))
        if wanted:
            raise _unsafe(path, wanted) from None
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise BadFile(
            f"'{path}' is a truncated or corrupt torch file: {reason}",
            todo="download the file again and compare its size with the one shown where it is published",
        ) from None


def _unsafe_names(path: Path, message: str) -> list[str]:
    """List what the file would have to import beyond tensors; empty if that was not the trouble."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        names = sorted(get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # noqa: BLE001 - the older format has no such listing; the message still names one
        names = []
    return names or re.findall(r"GLOBAL (\S+)", message) or re.findall(r"GLOBAL `?([\w.]+)", message)


def _unsafe(path: Path, wanted: list[str]) -> BadFile:
    shown = ", ".join(wanted[:5]) + (f" and {len(wanted) - 5} more" if len(wanted) > 5 else "")
    return BadFile(
        f"'{path}' holds more than tensors: to open it, Python would have to run {shown}",
        expected="a file of tensors only; nothing else is ever unpickled",
        todo="where its source is trusted, load it with torch.load(..., weights_only=False) "
        "and write the tensors alone with safetensors.torch.save_file",
    )


def unwrap(loaded: object, wrapper: str | None, path: Path) -> Unwrapped:
    """Find the state dict in what a torch file holds; ``wrapper`` names its place ("a/b" for a nested one)."""
    steps = [] if wrapper in (None, TOP) else str(wrapper).split("/")
    found, taken = loaded, list[str]()
    for step in steps:
        if not isinstance(found, Mapping) or not isinstance(found.get(step), Mapping):
            raise _no_entry(path, wrapper, loaded)
        found, taken = found[step], [*taken, step]
    while wrapper is None and isinstance(found, Mapping) and (inner := _only_wrapper(found, path, taken)):
        found, taken = found[inner], [*taken, inner]
    if not isinstance(found, Mapping) or not _has_tensors(found):
        what = "one tensor without a name" if _is_tensor(found) else f"no tensors: {_describe(found)}"
        raise BadFile(
            f"'{path}' holds {what}",
            expected="a table of named tensors (a state dict)",
            todo="save model.state_dict() with torch.save, or safetensors.torch.save_file",
        )
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and _is_tensor(value)}
    extras = {str(name): _describe(value) for name, value in found.items() if name not in tensors}
    return Unwrapped(tensors, "/".join(taken) or None, extras)


def _only_wrapper(found: Mapping[Any, Any], path: Path, taken: list[str]) -> str | None:
    """Return the one entry that holds the weights, None if ``found`` is itself a state dict; refuse to guess."""
    choices = _choices(found)
    known = [name for name in choices if name in WRAPPERS]
    if not choices or (_has_tensors(found) and not known):
        return None
    if known == choices and len(known) == 1 and not _has_tensors(found):
        return known[0]
    offers = [TOP] * _has_tensors(found) + choices
    raise BadFile(
        f"'{path}' holds tensors in several places, or under an unknown name: "
        + ", ".join("at the top" if name == TOP else f"'{name}'" for name in offers),
        expected=f"tensors at the top, or under one of {', '.join(WRAPPERS)}",
        todo="say which one, after a '#': " + " or ".join(f"{path.name}#{'/'.join([*taken, name])}" for name in offers),
    )


def _choices(found: Mapping[Any, Any], depth: int = 3) -> list[str]:
    """List the entries that are state dicts, or wrap one."""
    return [
        name
        for name, value in found.items()
        if isinstance(name, str)
        and isinstance(value, Mapping)
        and (_has_tensors(value) or (depth > 0 and name in WRAPPERS and bool(_choices(value, depth - 1))))
    ]


def _no_entry(path: Path, wrapper: str | None, loaded: object) -> BadFile:
    names = _choices(loaded) if isinstance(loaded, Mapping) else []
    return BadFile(
        f"'{path}' has no table of tensors under '{wrapper}'",
        expected=f"one of {', '.join(names)}" if names else "no entry: the tensors of this file stand at its top",
        todo=" or ".join(f"{path.name}#{name}" for name in names) or f"leave out the '#{wrapper}'",
    )


def _has_tensors(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(name, str) and _is_tensor(entry) for name, entry in value.items())


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _describe(value: object) -> str:
    """Describe an entry in a few words."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return repr(value)[:60]
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _entry(path: Path, name: str, tensor: torch.Tensor) -> Entry:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or dtype not in ITEM_BYTES:
        raise unreadable_dtype(
            path, name, f"{dtype} ({str(tensor.layout).removeprefix('torch.')}, {tensor.device.type})"
        )
    return Entry(dtype, tuple(tensor.shape))
