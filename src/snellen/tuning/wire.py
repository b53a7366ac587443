"""Messages between the search and the process of a candidate: a line of JSON, then the bytes of arrays.

In and out: a document and float32 arrays by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[float32]]


def write(stream: IO[bytes], document: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Send one message."""
    import numpy as np

    whole = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in (arrays or {}).items()}
    shapes = {name: array.shape for name, array in whole.items()}
    stream.write(json.dumps({"document": document, "arrays": shapes}).encode() + b"\n")
    for array in whole.values():
        stream.write(array.tobytes())
    stream.flush()


def read(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, NDArray[float32]]] | None:
    """Return the next message; None where the other side is gone, also in the middle of one."""
    import numpy as np

    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    arrays = {}
    for name, shape in header["arrays"].items():
        array = np.empty(shape, dtype=np.float32)
        if stream.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
            return None
        arrays[name] = array
    return header["document"], arrays
