"""Run the original PyTorch code of DINOv2, DINOv3 and AIMv2 from a clone: load a file their way, run it, build it anew.

Nothing of theirs is copied: their packages are imported from the folder that was given. An encoder is made by their own
entry point; to shrink it, the class that the entry point calls is wrapped for that one call, so that every setting
but the sizes is the one they chose.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from originals.ours import Outputs, pixels
from originals.shrunken import Size
from snellen.encoders.config import ConvNeXtConfig, EncoderConfig
from snellen.zoo import find

PACKAGES = {"dinov2": ("dinov2",), "dinov3": ("dinov3",), "aim": ("aim.v2.utils", "aim.v2.torch"), "vit": ()}
FOLDERS = {"dinov2": (".",), "dinov3": (".",), "aim": ("aim-v1", "aim-v2"), "vit": (".",)}
MARKS = {
    "dinov2": "dinov2/hub/backbones.py",
    "dinov3": "dinov3/hub/backbones.py",
    "aim": "aim-v2/aim/v2/utils.py",
    "vit": "vit_jax/checkpoint.py",
}


def open_clone(repo: str, clone: Path) -> None:
    """Make the packages of a clone importable; raise SystemExit with the reason if it is not one."""
    if not (clone / MARKS[repo]).is_file():
        sys.exit(
            f"--{repo} {clone}: there is no {MARKS[repo]} in it\n  next: give the root of a clone of the repository"
        )
    os.environ["XFORMERS_DISABLED"] = "1"  # DINOv2 would take its kernels, where there are any
    sys.path[:0] = [str(clone.resolve() / folder) for folder in FOLDERS[repo]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in PACKAGES[repo]:
            importlib.import_module(package)


@dataclass(frozen=True)
class Their:
    """The original encoder of one name, full-size or with the sizes of ``shrunk``."""

    repo: str
    name: str
    shrunk: EncoderConfig | None = None

    @property
    def entry(self) -> str:
        """The function of their hub module that makes it; the satellite weights have none of their own."""
        file = find(self.name).variant.original[-1]
        return file.partition("_pretrain")[0].replace("_reg4", "_reg")

    @property
    def file(self) -> str:
        """The name under which their entry point looks for the weights in torch's cache."""
        return find(self.name).variant.original[-1] + ".pth"

    def load(self, path: Path, cache: Path) -> nn.Module:
        """Load a file with their own loader, which is strict.

        Their hub functions download to torch's cache: the file lies there under the name they ask for, so that
        nothing is downloaded. Raises what their loader raises.
        """
        if self.repo == "aim":
            utils = importlib.import_module("aim.v2.utils")
            with self._sizes():
                return utils._load_torch(self.name, str(path)).eval()
        place = cache / "checkpoints" / self.file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        torch.hub.set_dir(cache)
        try:
            return self._hub(pretrained=True).eval()
        finally:
            place.unlink()

    def fresh(self, device: str = "cpu") -> nn.Module:
        """Build it with their own initialisation."""
        if self.repo == "aim":
            models = importlib.import_module("aim.v2.torch.models")
            function, side = importlib.import_module("aim.v2.utils")._get_model_func_and_img_size(self.name)
            with self._sizes(), torch.device(device):
                return getattr(models, function)(img_size=side).eval()
        with torch.device(device):
            return self._hub(pretrained=False).eval()

    def _hub(self, pretrained: bool) -> nn.Module:
        backbones = importlib.import_module(f"{self.repo}.hub.backbones")
        satellite = {"weights": backbones.Weights.SAT493M} if "sat493m" in self.file else {}
        with self._sizes(), _quiet():
            return getattr(backbones, self.entry)(pretrained=pretrained, **satellite)

    @contextmanager
    def _sizes(self) -> Iterator[None]:
        """While it lasts, their class is built with the sizes of ``shrunk``."""
        if self.shrunk is None:
            yield
            return
        module, name, sizes = _class_and_sizes(self.repo, self.shrunk)
        original: Callable[..., nn.Module] = getattr(module, name)
        with mock.patch.object(module, name, lambda **settings: original(**{**settings, **sizes})):
            yield


def _class_and_sizes(repo: str, config: EncoderConfig) -> tuple[Any, str, dict[str, Any]]:
    """Return where their class stands, its name, and what their words for our sizes are."""
    if isinstance(config, ConvNeXtConfig):
        module = importlib.import_module("dinov3.models.convnext")
        return module, "ConvNeXt", {"depths": list(config.depths), "dims": list(config.widths)}
    sizes: dict[str, Any] = {"embed_dim": config.width, "num_heads": config.heads}
    sizes |= {"img_size": config.grid * config.patch} if config.grid else {}
    if repo == "aim":
        sizes |= {"num_blocks": config.depth, "mlp_hidden_dim": config.hidden}
        return importlib.import_module("aim.v2.torch.models"), "AIMv2VisionEncoder", sizes
    module = importlib.import_module(f"{repo}.models.vision_transformer")
    return module, "DinoVisionTransformer", sizes | {"depth": config.depth}


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@torch.inference_mode()
def run(repo: str, model: nn.Module, size: Size, dtype: torch.dtype, batch: int = 2) -> Outputs:
    """Run an original encoder on the same input as ours and name what comes out as ``ours.run`` does."""
    with _throughout(model.to(dtype), dtype):
        return _outputs(repo, model, pixels(size, batch).to(dtype))


@contextmanager
def _throughout(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """While it lasts, a model in float64 does in float64 what it does in float32 whatever its dtype.

    That is, in DINOv3, the patch centres of RoPE, by an attribute it has; in DINOv2 the resizing of the position table,
    which it casts with ``Tensor.float``. In float32 nothing is changed.
    """
    if dtype != torch.float64:
        yield
        return
    rope = getattr(model, "rope_embed", types.SimpleNamespace(dtype=dtype))
    with mock.patch.object(torch.Tensor, "float", lambda x: x), mock.patch.object(rope, "dtype", dtype):
        yield


def _outputs(repo: str, model: nn.Module, x: torch.Tensor) -> Outputs:
    if repo == "aim":
        tokens, blocks = model(x, output_features=True)
        return {"patches": tokens, "blocks": _joined(blocks)}
    found = model.forward_features(x)
    registers = found["x_norm_regtokens" if repo == "dinov2" else "x_storage_tokens"]
    blocks = model.get_intermediate_layers(x, n=list(range(model.n_blocks)), norm=False)
    outputs = {
        "cls/pooled": torch.cat([found["x_norm_clstoken"], model(x)], dim=1),
        "patches": found["x_norm_patchtokens"],
        "blocks": _joined(blocks),
    }
    return outputs | ({"registers": registers} if registers.shape[1] else {})


def _joined(blocks: Any) -> torch.Tensor:
    """Lay the patch tokens [B, N, D] of all blocks one after another, as ``ours.run`` does."""
    return torch.cat([block.transpose(1, 2).flatten() for block in blocks])


def redraw(model: nn.Module, seed: int) -> None:
    """Give every parameter of an original model a value that matters, as its own initialisation does not."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and not name.endswith(("token", "tokens", "pos_embed")):
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif name.endswith("gamma"):
                parameter.copy_(0.3 + 0.1 * noise)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise * (0.1 if parameter.ndim == 1 else 1.0))
