"""Weights without a file: drawn from a seed, the same bits on every machine, every one of them large enough to matter.

A fresh initialisation hides faults: LayerScale starts at 1e-5, so whole blocks hardly count; biases are zero, norms
one. Here every parameter is drawn around the value that keeps activations of the order of one, and far enough from it
that a dropped, swapped or stale one is seen.

Numbers come from NumPy's Philox counter generator, whose stream is fixed for good, through exact integer arithmetic: no
transcendental function, so no platform differs. Each tensor has a stream of its own, keyed by seed and name, so that
the order of drawing does not matter either.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from snellen.encoders.config import EncoderConfig, ViTConfig

CHUNK = 1 << 22

# The end of a native name, and the centre and half-width of its values. None: a matrix, centred at 0, of variance 1 /
# fan_in.
SPREADS: tuple[tuple[str, tuple[float, float] | None], ...] = (
    ("scale1.factor", (0.3, 0.2)),
    ("scale2.factor", (0.3, 0.2)),
    (".scale", (0.3, 0.2)),
    ("norm.weight", (1.0, 0.2)),
    ("norm1.weight", (1.0, 0.2)),
    ("norm2.weight", (1.0, 0.2)),
    ("patch_norm.weight", (1.0, 0.2)),
    ("body.0.down.1.weight", (1.0, 0.2)),
    ("body.1.down.0.weight", (1.0, 0.2)),
    ("body.2.down.0.weight", (1.0, 0.2)),
    ("body.3.down.0.weight", (1.0, 0.2)),
    (".bias", (0.0, 0.2)),
    ("cls", (0.0, 1.0)),
    ("registers", (0.0, 1.0)),
    ("position", (0.0, 1.0)),
    (".weight", None),
)


def draw(seed: int, name: str, shape: tuple[int, ...], config: EncoderConfig) -> Tensor:
    """Draw the native tensor ``name``, float32, on the CPU; the same for the same arguments anywhere.

    The key's part of a q, k, v bias is zero where the encoder has none.
    """
    centre_width = next(drawn for end, drawn in SPREADS if name.endswith(end))
    if centre_width is None:
        fan_in = math.prod(shape[1:])
        centre_width = (0.0, math.sqrt(3.0 / fan_in))
    tensor = torch.from_numpy(_uniform(seed, name, math.prod(shape), *centre_width)).view(shape)
    if name.endswith("qkv.bias") and isinstance(config, ViTConfig) and config.qkv_bias == "no_key":
        tensor.chunk(3)[1].zero_()
    return tensor


def _uniform(
    seed: int, name: str, count: int, centre: float, width: float
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Draw ``count`` numbers evenly from centre - width ... centre + width, in float32."""
    digest = hashlib.sha256(f"snellen/{seed}/{name}".encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    values = np.empty(count, dtype=np.float32)
    for start in range(0, count, CHUNK):
        part = values[start : start + CHUNK]
        bits = stream.random_raw((len(part) + 1) // 2).astype("<u8", copy=False).view("<u4")[: len(part)]
        np.multiply(bits >> 8, np.float32(2.0**-23), out=part, dtype=np.float32, casting="unsafe")  # 0 ... 2, exact
        part -= np.float32(1.0)
        part *= np.float32(width)
        part += np.float32(centre)
    return values
