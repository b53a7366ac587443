"""What a person looks at: patch features as colours, and how large errors are.

In: the golden's and the candidate's outputs of the same images. Out: ``Pca`` of one image, ``Histogram`` of one output;
pictures are files in base64, small enough to lie in a record.
"""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snellen.recipes import Recipe
from snellen.records.report import Histogram, Pca

if TYPE_CHECKING:
    from PIL.Image import Image

COMPONENTS = 3
"""Principal components that are shown: one for each of red, green and blue."""

CUT = 0.01
"""Share of the golden's patches that may lie beyond either end of a colour's range."""

PHOTO_SIDE = 320
PHOTO_BYTES = 20_000
QUALITIES = (85, 75, 65, 55, 45, 35)

PER_DECADE = 10
MOST_BINS = 160


def pca(name: str, grid: tuple[int, int], golden: Tensor, mine: Tensor, photo: str) -> Pca:
    """Colour the patches [N, D] of one image by the golden's principal components; ``photo`` is its JPEG in base64.

    The candidate's are projected on the same axes and coloured by the same range: what differs is the candidate's own.
    Both must be finite.
    """
    exact, other = golden.double(), mine.to("cpu").double()
    centre = exact.mean(0)
    axes, explained = _axes(exact - centre)
    seen = (exact - centre) @ axes  # [N, 3]
    low, high = torch.quantile(seen, CUT, 0), torch.quantile(seen, 1 - CUT, 0)
    distances = torch.linalg.vector_norm(other - exact, dim=1) / torch.linalg.vector_norm(exact, dim=1).clamp_min(1e-30)
    return Pca(
        image=name,
        grid=grid,
        photo_jpeg=photo,
        golden_png=_png(_colours(seen, low, high), grid),
        candidate_png=_png(_colours((other - centre) @ axes, low, high), grid),
        differences=tuple(distances.tolist()),
        explained=explained,
    )


def photo(pixels: Tensor, recipe: Recipe) -> str:
    """Return pixels [3, h, w] as a small JPEG in base64: the photograph as the recipe cut it, so that a grid fits."""
    image = _image(_undone(pixels, recipe))
    image.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    data = b""
    for quality in QUALITIES:
        data = _file(image, "JPEG", quality=quality, optimize=True)
        if len(data) <= PHOTO_BYTES:
            break
    return base64.b64encode(data).decode("ascii")


def histogram(output: str, golden: Tensor, mine: Tensor, reference: Tensor) -> Histogram:
    """Count absolute errors against the golden by their size, in tenths of a decade; every element is counted.

    All three are of one shape; what is not finite is nowhere counted.
    """
    exact = golden.double()
    errors, known = _errors(mine, exact), _errors(reference, exact)
    edges = _edges(torch.cat([errors[errors > 0], known[known > 0]]))
    return Histogram(
        output=output,
        edges=tuple(edges),
        candidate=_counted(errors, edges),
        reference=_counted(known, edges),
        zeros=int((errors == 0).sum()),
    )


def _axes(centred: Tensor) -> tuple[Tensor, tuple[float, ...]]:
    """Return the axes [D, 3] and the share of variance on each; signs are such that the largest entry is positive."""
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    found = directions[:COMPONENTS]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    axes = torch.zeros(COMPONENTS, centred.shape[1], dtype=torch.float64)
    axes[: len(found)] = found * torch.where(largest < 0, -1.0, 1.0)
    shares = torch.zeros(COMPONENTS, dtype=torch.float64)
    whole = float(sizes.square().sum())
    if whole > 0:
        shares[: len(found)] = sizes[:COMPONENTS].square() / whole
    return axes.T, tuple(shares.tolist())


def _colours(seen: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bring projections [N, 3] to 0..1 by the golden's range; an axis on which nothing varies is grey."""
    width = high - low
    scaled = (seen - low) / torch.where(width > 0, width, 1.0)
    return torch.where(width > 0, scaled, 0.5).clamp(0, 1)


def _png(colours: Tensor, grid: tuple[int, int]) -> str:
    """Return colours [N, 3] as a PNG of one pixel a patch, in base64."""
    return base64.b64encode(_file(_image(colours.T.reshape(3, *grid)), "PNG", optimize=True)).decode("ascii")


def _undone(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Take mean and std back: what is left lies between 0 and 1."""
    seen = pixels.double()
    if recipe.mean is not None and recipe.std is not None:
        mean, std = (torch.tensor(three, dtype=torch.float64)[:, None, None] for three in (recipe.mean, recipe.std))
        seen = seen * std + mean
    return seen.clamp(0, 1)


def _image(colours: Tensor) -> Image:
    """Return [3, h, w] of 0..1 as a picture."""
    from PIL import Image

    return Image.fromarray((colours * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _file(image: Image, kind: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def _errors(tensor: Tensor, exact: Tensor) -> Tensor:
    distances = (tensor.detach().to("cpu").double() - exact).abs().reshape(-1)
    return distances[distances.isfinite()]


def _edges(errors: Tensor) -> list[float]:
    """Return the edges of the bins that errors above 0 fall into; where they spread too far, the first bin is wide."""
    if not len(errors):
        return [1e-8, 10 ** (-8 + 1 / PER_DECADE)]
    first = math.floor(math.log10(float(errors.min())) * PER_DECADE)
    last = math.floor(math.log10(float(errors.max())) * PER_DECADE) + 1
    inner = range(max(first + 1, last - MOST_BINS + 1), last + 1)
    return [10 ** (first / PER_DECADE), *(10 ** (number / PER_DECADE) for number in inner)]


def _counted(errors: Tensor, edges: list[float]) -> tuple[int, ...]:
    bins = len(edges) - 1
    above = errors[errors > 0]
    places = torch.bucketize(above, torch.tensor(edges, dtype=torch.float64), right=True) - 1
    return tuple(torch.bincount(places.clamp(0, bins - 1), minlength=bins).tolist())
