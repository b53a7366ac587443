"""Write the features of a few images, tokens and maps and all, to npz or safetensors.

In: named tensors on the CPU, the images they are of, and the record of the model that made them. Out: one file, whole
or not at all, with record and images in it: the array ``image_path`` of an npz, JSON under ``snellen.images`` in the
metadata of a safetensors file; the rows of every tensor but the grid are in their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from snellen.draft import Draft, check, writing
from snellen.embed.sources import printable
from snellen.records import ModelRecord

if TYPE_CHECKING:
    from torch import Tensor

ENDINGS = (".npz", ".safetensors")


def write(path: Path, tensors: Mapping[str, Tensor], record: ModelRecord, images: Sequence[str]) -> None:
    """Write ``tensors``, whose rows are those of ``images``, to ``path``.

    Raises UsageError for another ending, Unavailable when the disk refuses.
    """
    check(path, ENDINGS)
    save = _npz if path.suffix.lower() == ".npz" else _safetensors
    draft = Draft(path)
    try:
        with writing(path):
            save(draft.stream, tensors, json.dumps(record.to_dict()), [printable(image) for image in images])
            draft.publish()
    finally:
        draft.discard(lambda: None)


def _npz(stream: BinaryIO, tensors: Mapping[str, Tensor], record: str, images: list[str]) -> None:
    import numpy

    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    numpy.savez(stream, **arrays, image_path=numpy.array(images, str), snellen=numpy.array(record))


def _safetensors(stream: BinaryIO, tensors: Mapping[str, Tensor], record: str, images: list[str]) -> None:
    from safetensors.torch import save

    own = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}  # cls and pooled may share memory
    stream.write(save(own, metadata={"snellen": record, "snellen.images": json.dumps(images)}))
