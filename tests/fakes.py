"""A model whose vectors can be foretold from the pixels, for tests of what lies around an encoder."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from snellen.errors import ImageError, UsageError
from snellen.records import Choice, ModelRecord, Origin

RECORD = ModelRecord(
    name="fake",
    variant="fake",
    library="timm",
    family="vit",
    dialect=None,
    origin=Origin(kind="seed", seed=0),
    recipe="squash 2 nearest",
    recipe_hash="abc",
    pool="cls",
    dtype="float32",
    device="cpu",
    version="0",
    choices=(Choice("cpu", "nothing else here"),),
)


class FakeRecipe:
    apply_orientation = True

    def at_least(self, height, width):
        return None

    def array(self, picture):
        if picture.width > 500:
            raise ImageError("too long and thin")
        value = float(picture.rgb.getpixel((0, 0))[0])
        return np.full((3, 2, 2), value, np.float32)


class FakeFeatures:
    grid = (2, 2)

    def __init__(self, n):
        self.n = n

    def named(self):
        return {
            "cls": torch.ones(self.n, 2),
            "registers": torch.ones(self.n, 0, 2),
            "patches": torch.ones(self.n, 4, 2),
        }


class FakeModel:
    """Gives [red, 2 x red] for each image; takes ``ahead`` batches more before it gives those of the first."""

    record = RECORD
    batch = 2

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass

    def __init__(self, ahead=0):
        self.recipe = FakeRecipe()
        self.ahead = ahead
        self.batches = []

    def vectors(self, batches):
        under_way = deque()
        for pixels in batches:
            self.batches.append(len(pixels))
            under_way.append(self.encode(pixels))
            if len(under_way) > self.ahead:
                yield under_way.popleft()
        yield from under_way

    def encode(self, pixels):
        red = pixels[:, 0, 0, 0]
        return np.stack([red, 2 * red], axis=1)

    def features(self, images):
        return FakeFeatures(len(images))

    def feature_maps(self, images, layers):
        return {f"block.{layer}": torch.ones(len(images), 2, 2, 2) for layer in layers}

    def classify(self, images, top=5):
        if top > 100:
            raise UsageError("no classifier here")
        if any(not Path(image).exists() for image in images):
            raise ImageError("not there")
        return [[("cat", 0.75), ("dog", 0.25)][:top] for _ in images]


def picture(path: Path, red: int, size=(4, 3)) -> str:
    """Write one picture of one colour."""
    Image.new("RGB", size, (red, 0, 0)).save(path)
    return str(path)
