"""A loaded encoder with its recipe and its record: pictures in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snellen.encoders.build import Encoder
from snellen.encoders.features import Features
from snellen.errors import UnknownName, UsageError
from snellen.images import Picture, decode
from snellen.recipes import Recipe
from snellen.records import ModelRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 8
"""Pictures encoded at once where nobody says otherwise: enough to be efficient, small enough for any machine."""


class Model:
    """An encoder, the recipe that feeds it, and the record of where both came from.

    ``labels`` names the classes of its classifier, if it has a trained one whose classes are known.
    """

    def __init__(self, encoder: Encoder, recipe: Recipe, record: ModelRecord, labels: Sequence[str] = ()) -> None:
        self.encoder = encoder
        self.recipe = recipe
        self.record = record
        self.labels = tuple(labels)

    def __repr__(self) -> str:
        record = self.record
        return f"<snellen.Model {record.name} [{record.library}], {record.dtype} on {record.device}>"

    @property
    def width(self) -> int:
        """Length of one embedding."""
        return self.encoder.config.width

    def embed(self, images: Any, batch_size: int = BATCH) -> NDArray[np.float32]:
        """Embed images: one float32 row for each, in order, [n, d].

        ``images`` is one or an iterable of paths, bytes, Pillow images or uint8 arrays [h, w, 3]. Raises ImageError at
        the first that cannot be used; ``snellen embed`` goes on past it instead.
        """
        rows = list(self.vectors(self._batches(images, batch_size)))
        return np.concatenate(rows) if rows else np.zeros((0, self.width), dtype=np.float32)

    def embed_pixels(self, pixels: Tensor) -> NDArray[np.float32]:
        """Embed pixels [b, 3, h, w] as the recipe makes them: float32 rows [b, d]."""
        pooled: NDArray[np.float32] = self._encode(pixels).pooled.float().cpu().numpy()
        return pooled

    def vectors(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Embed batches of pixels [b, 3, h, w], as the recipe makes them, into rows [b, d], one after the other."""
        for pixels in batches:
            yield self.embed_pixels(torch.from_numpy(pixels))

    def features(self, images: Any, stages: Iterable[str] = (), batch_size: int = BATCH) -> Features:
        """Return all features of images, float32 on the CPU, with the ``stages`` asked for.

        Raises ImageError for an image that cannot be used, UnknownName for a stage that does not exist.
        """
        wanted = tuple(stages)
        parts = [self._encode(torch.from_numpy(pixels), wanted) for pixels in self._batches(images, batch_size)]
        if not parts:
            raise UsageError("there is no image to take features of", expected="one or more", todo="name some images")
        named = [part.named() for part in parts]
        whole = {name: torch.cat([part[name].float().cpu() for part in named]) for name in named[0]}
        return Features(
            cls=whole.get("cls"),
            registers=whole["registers"],
            patches=whole["patches"],
            grid=parts[0].grid,
            pooled=whole["pooled"],
            logits=whole.get("logits"),
            stages={name: whole[name] for name in wanted},
        )

    def feature_maps(self, images: Any, layers: Sequence[int | str] | None = None) -> dict[str, Tensor]:
        """Return the maps of inner layers, each [n, D, h, w], float32 on the CPU, without class token and registers.

        ``layers`` are stage names or indices of blocks (ConvNeXt: of stages); negative ones count from the end. The
        default is timm's ``features_only``: the last three blocks, or all four stages; like there, no norm is
        applied.
        """
        stages = self._map_stages(layers)
        features = self.features(images, stages)
        return {name: self.encoder.as_map(features.stages[name], features.grid) for name in stages}

    def classify(self, images: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """Return the ``top`` classes of each image as (label, probability), the most probable first.

        Raises UsageError unless the checkpoint brought a trained classifier whose classes have names: an invented head
        would give probabilities that mean nothing.
        """
        if not self.record.origin.trained:
            raise UsageError(
                f"{self.record.name} was given drawn weights, so its classes mean nothing", todo="load trained weights"
            )
        probe = next((note for note in self.record.notes if "linear probe" in note), None)
        if probe is not None:
            raise UsageError(f"the classifier beside {self.record.name} is not run ({probe})", todo="use its features")
        logits = self.features(images).logits if self.labels else None
        if logits is None:
            raise UsageError(
                f"the weights of {self.record.name} hold no classifier whose classes have names",
                expected="a checkpoint fine-tuned on ImageNet-1k, or one whose config.json names its classes",
                todo="for example vit_base_patch16_224.augreg2_in21k_ft_in1k or google/vit-base-patch16-224",
            )
        best = logits.softmax(1).topk(min(top, logits.shape[1]))
        return [
            [(self.labels[index], probability) for index, probability in zip(indices, values, strict=True)]
            for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def _encode(self, pixels: Tensor, stages: Iterable[str] = ()) -> Features:
        features: Features = self.encoder(pixels.to(next(self.encoder.parameters()).device), stages)
        return features

    def _batches(self, images: Any, batch_size: int) -> Iterator[NDArray[np.float32]]:
        if batch_size < 1:
            raise UsageError(f"the batch size is {batch_size}", expected="1 or more", todo=f"leave it at {BATCH}")
        pixels = (self.recipe.array(decode(image, at_least=self.recipe.at_least)) for image in _each(images))
        while batch := list(islice(pixels, batch_size)):
            yield np.stack(batch)

    def _map_stages(self, layers: Sequence[int | str] | None) -> tuple[str, ...]:
        """Turn layer numbers into stage names."""
        if layers is None:
            return self.encoder.map_stages
        numbered = self.encoder.layer_stages
        mapped = {*self.encoder.block_stages, *numbered}
        names = []
        for layer in layers:
            if isinstance(layer, int) and not -len(numbered) <= layer < len(numbered):
                raise UsageError(
                    f"there is no layer {layer}",
                    expected=f"0 to {len(numbered) - 1}, or -1 to {-len(numbered)} counted from the end",
                    todo="--layers -1 is the last",
                )
            names.append(numbered[layer] if isinstance(layer, int) else layer)
            if names[-1] not in mapped:
                raise UnknownName("layer with a map", names[-1], mapped, todo=f"{numbered[0]} ... {numbered[-1]}")
        return tuple(dict.fromkeys(names))


def _each(images: Any) -> Iterable[Any]:
    """Return the images one by one, where one alone stands for itself."""
    single = isinstance(images, (str, bytes, Picture)) or hasattr(images, "__fspath__") or hasattr(images, "convert")
    if single or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    return images if isinstance(images, Iterable) else [images]  # what is no image is refused by ``decode``
