"""Where a patch stands: learned tables brought to another grid, and rotary angles.

h x w the patch grid, N = h * w, P prefix tokens (class token, registers), D width, E head width.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from snellen.encoders.config import Resize

ROPE_BASE = 100.0  # DINOv3: the longest period, in units of half the image


def resize_table(table: Tensor, grid: tuple[int, int], how: Resize) -> Tensor:
    """Bring a learned table of a square grid to another grid.

    ``table`` is [1, G * G, D], row-major, without the row of the class token; the result is [1, h * w, D].
    Worked out in at least float32. ``how`` is one of ``config.Resize``; "none" never comes here.
    """
    side = math.isqrt(table.shape[1])
    if grid == (side, side):
        return table
    image = table.unflatten(1, (side, side)).permute(0, 3, 1, 2)  # [1, D, G, G]
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    if how == "bicubic_offset":
        # The 0.1 guarded against a rounding fault in an early interpolation kernel; the weights' own
        # evaluation keeps it, so the sampling points differ slightly from those of the exact size.
        scale = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
        image = interpolate(image, scale_factor=scale, mode="bicubic")
    elif how == "linear_corners":
        image = interpolate(image, size=grid, mode="bilinear", align_corners=True)
    else:
        image = interpolate(image, size=grid, mode="bicubic", antialias=how == "bicubic_antialias")
    return image.flatten(2).transpose(1, 2).to(table.dtype)  # [1, h * w, D]


def periods(head_width: int, rounded: bool) -> Tensor:
    """Return the E / 4 rotary periods in float64: 100 ** (4 k / E) for k = 0, 1, ...

    ``rounded``: through bfloat16, which is how the original DINOv3 checkpoints store them.
    """
    exponent = torch.arange(head_width // 4, dtype=torch.float64, device="cpu") * 4 / head_width
    exact = ROPE_BASE**exponent
    return exact.float().bfloat16().double() if rounded else exact


@lru_cache(maxsize=16)
def rotation(
    grid: tuple[int, int], prefix: int, head_width: int, rounded: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines that turn queries and keys, each [P + N, E].

    A patch centre lies at ((i + 0.5) / h, (j + 0.5) / w), each axis by its own length, mapped to [-1, 1]; its
    angle is 2 pi times that over the period. A token's row holds the angles of y, then of x, twice over, since
    element e is paired with e + E / 2. Prefix tokens stand nowhere: their angle is 0. Worked out in float64 on
    the CPU (an NPU has no float64), then brought to ``dtype`` and ``device``.
    """
    with torch.inference_mode(False):
        y, x = (2 * (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) / n - 1 for n in grid)
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).reshape(-1, 2)  # [N, 2]
        angles = 2 * math.pi * centres[:, :, None] / periods(head_width, rounded)  # [N, 2, E/4]
        angles = angles.flatten(1).tile(2)  # [N, E]
        angles = torch.cat([angles.new_zeros(prefix, head_width), angles])  # [P + N, E]
        return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys [B, H, T, E] by the angles of ``rotation``, in float32 at least, and cast back."""
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)
