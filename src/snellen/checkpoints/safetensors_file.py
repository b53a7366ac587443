"""Read a safetensors file: its header at once, each tensor when asked for.

The bytes are read straight into a fresh tensor. The library's own reader maps the file into memory, and the
pages of every tensor it handed out stay counted to the process until the file is closed: a float32 file opened
to be kept as bfloat16 then costs three times what is kept. Reading the format directly also lets every way a file
can be broken be named. Format: 8 bytes little-endian length, that many bytes of JSON, the data.
"""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from snellen.checkpoints.tensors import ITEM_BYTES, Description, Entry, Tensors, own_memory, raw_bytes, unreadable_dtype
from snellen.errors import BadFile

if TYPE_CHECKING:
    import torch

AGAIN = "download the file again and compare its size with the one shown where it is published"

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


class SafetensorsFile(Tensors):
    """The tensors of one safetensors file."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb", buffering=0)
        try:
            size = path.stat().st_size
            header, self._data = read_header(path, self._file, size)
            metadata = _metadata(path, header.pop("__metadata__", {}))
            entries, self._starts = _entries(path, header, size - self._data)
        except BaseException:
            self._file.close()
            raise
        self._lock = threading.Lock()  # one file position, possibly several readers
        super().__init__(Description(path=path, format="safetensors", entries=entries, metadata=metadata))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, name: str) -> torch.Tensor:
        tensor = own_memory(self._entries[name])
        rest = raw_bytes(tensor)
        with self._lock:
            self._file.seek(self._data + self._starts[name])
            while rest:
                count = self._file.readinto(rest)  # type: ignore[attr-defined]  # raw files have it
                if not count:
                    raise BadFile(f"'{self.path}' ended while '{name}' was read: it has changed since", todo=AGAIN)
                rest = rest[count:]
        return tensor


def read_header(path: Path, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Read the JSON header; return it and the position of the data; raise BadFile for anything but a header."""
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise BadFile(
            f"'{path}' is a truncated or corrupt safetensors file: "
            f"it announces a header of {length} bytes and has {max(size - 8, 0)} after the length",
            todo=AGAIN,
        )
    text = file.read(length)
    while len(text) < length and (more := file.read(length - len(text))):
        text += more
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"the header of the safetensors file '{path}' cannot be read: {error}", todo=AGAIN) from None
    if not isinstance(header, dict):
        raise BadFile(f"the header of the safetensors file '{path}' is not a table of tensors", todo=AGAIN)
    return header, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict and refuse a repeated name, of which JSON would silently keep the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in it twice")
    return table


def _metadata(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadFile(f"the __metadata__ of the safetensors file '{path}' is not a table of texts", todo=AGAIN)
    return {str(key): str(text) for key, text in value.items()}


def _entries(path: Path, header: dict[str, Any], data: int) -> tuple[dict[str, Entry], dict[str, int]]:
    """Check the header against the ``data`` bytes that follow it; return entries and where each starts."""
    spans = [(name, *_span(path, name, value)) for name, value in header.items()]
    spans.sort(key=lambda span: span[2:])
    end = 0
    for name, _, start, stop in spans:
        if start != end:
            raise BadFile(f"in '{path}' the bytes of '{name}' overlap others or leave a gap before them", todo=AGAIN)
        end = stop
    if end != data:
        what = "truncated" if end > data else "longer than its header says"
        raise BadFile(f"'{path}' is {what}: its header lists {end} bytes of tensors, the file has {data}", todo=AGAIN)
    return {name: entry for name, entry, _, _ in spans}, {name: start for name, _, start, _ in spans}


def _span(path: Path, name: str, row: object) -> tuple[Entry, int, int]:
    """Read one row of the header: dtype and shape, first byte, end."""
    try:
        value = dict(row)  # type: ignore[call-overload]  # anything else is a TypeError, as wanted
        dtype, shape, (start, stop) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        sound = isinstance(dtype, str) and all(type(number) is int and number >= 0 for number in (*shape, start, stop))
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise BadFile(f"the header of '{path}' does not say dtype, shape and place of '{name}'", todo=AGAIN)
    if dtype not in DTYPES:
        raise unreadable_dtype(path, name, str(dtype))
    entry = Entry(DTYPES[dtype], shape)
    if stop - start != math.prod(shape) * ITEM_BYTES[entry.dtype]:
        raise BadFile(
            f"the header of '{path}' contradicts itself: "
            f"'{name}' is {entry.dtype} {list(shape)} in {stop - start} bytes",
            todo=AGAIN,
        )
    return entry, start, stop
