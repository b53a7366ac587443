"""Read a numpy ``.npz`` archive: shapes and dtypes at once, each array when asked for; objects are refused.

JAX projects store bfloat16 as two raw bytes an element (dtype ``V2``), because numpy has no such type:
these come back as bfloat16.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snellen.checkpoints.tensors import ITEM_BYTES, Description, Entry, Tensors, comment_metadata, unreadable_dtype
from snellen.errors import BadFile

if TYPE_CHECKING:
    import numpy as np
    import torch

FAULTS = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, OSError, NotImplementedError, RuntimeError)
AGAIN = "download the file again"


class NpzFile(Tensors):
    """The arrays of one npz archive."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        try:
            names = [member.removesuffix(".npy") for member in self._zip.namelist() if not member.endswith("/")]
            entries = {name: self._entry(path, name) for name in names}
        except BaseException:
            self._zip.close()
            raise
        super().__init__(
            Description(path=path, format="npz", entries=entries, metadata=comment_metadata(self._zip.comment))
        )

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def _entry(self, path: Path, name: str) -> Entry:
        from numpy.lib import format as npy

        try:
            with self._zip.open(f"{name}.npy") as member:
                version = npy.read_magic(member)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(member)
        except FAULTS as error:
            raise BadFile(f"the array '{name}' in '{path}' cannot be read: {error}", todo=AGAIN) from None
        if dtype.hasobject:
            raise BadFile(
                f"the array '{name}' in '{path}' holds Python objects, which could run code when read",
                expected="arrays of numbers only",
                todo="save the numbers alone, with numpy.savez",
            )
        if _dtype_name(dtype) not in ITEM_BYTES:
            raise unreadable_dtype(path, name, str(dtype))
        return Entry(_dtype_name(dtype), tuple(shape))

    def _read(self, name: str) -> torch.Tensor:
        import numpy as np
        import torch
        from numpy.lib import format as npy

        try:
            with self._zip.open(f"{name}.npy") as member:
                array: np.ndarray[Any, Any] = npy.read_array(member, allow_pickle=False)
        except FAULTS as error:
            raise BadFile(f"the array '{name}' in '{self.path}' cannot be read: {error}", todo=AGAIN) from None
        if array.dtype.kind != "V":
            native = array.astype(array.dtype.newbyteorder("="), copy=False)
            return torch.from_numpy(np.require(native, requirements=("C", "W")))
        return torch.from_numpy(np.require(array, requirements=("C", "W")).view(np.int16)).view(torch.bfloat16)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "bfloat16" if dtype.str == "|V2" and dtype.fields is None else dtype.name
