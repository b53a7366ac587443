"""The libraries we must agree with, behind one face: build an encoder, load tensors strictly, run it stage by stage.

Nothing here is used by the package. timm and transformers are imported on use, after conftest has declared
torchvision's operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snellen.encoders.config import ConvNeXtConfig, EncoderConfig, ViTConfig

Stages = dict[str, Tensor]


@dataclass(frozen=True)
class Oracle:
    """A model of another library, and where in it each of our stages comes out.

    ``hooks``: our stage -> path of the module whose output it is. ``outputs``: how to run it on pixels and read pooled
    vector, normed tokens or logits.
    """

    library: str
    model: nn.Module
    hooks: Mapping[str, str]
    outputs: Callable[[nn.Module, Tensor], Stages]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load tensors strictly: the library itself says whether names and shapes are its own."""
        self.model.load_state_dict(dict(state), strict=True)

    @torch.inference_mode()
    def run(self, pixels: Tensor) -> Stages:
        """Return every stage and output that the library exposes."""
        kept: Stages = {}

        def keep(stage: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                kept[stage] = output[0] if isinstance(output, tuple) else output

            return hook

        handles = [self.model.get_submodule(path).register_forward_hook(keep(s)) for s, path in self.hooks.items()]
        try:
            outputs = self.outputs(self.model, pixels)
        finally:
            for handle in handles:
                handle.remove()
        return {**kept, **outputs}


def timm_oracle(architecture: str, config: EncoderConfig, **changes: Any) -> Oracle:
    """Build timm's model of an architecture, shrunken by ``changes``."""
    import timm

    pool = {"cls": "token", "patch_mean": "avg"}[config.pool] if isinstance(config, ViTConfig) else "avg"
    model = timm.create_model(architecture, pretrained=False, global_pool=pool, **changes)
    return of_timm(model, config)


def of_timm(model: nn.Module, config: EncoderConfig) -> Oracle:
    """Take a model that timm built."""
    if isinstance(config, ConvNeXtConfig):
        hooks = {"stem": "stem"}
        for s, depth in enumerate(config.depths):
            hooks |= {f"stage.{s}.block.{i:02d}": f"stages.{s}.blocks.{i}" for i in range(depth)}
            hooks |= {f"stage.{s}.down": f"stages.{s}.downsample"} if s else {}
    else:
        hooks = {f"block.{i:02d}": f"blocks.{i}" for i in range(config.depth)} | {"norm": "norm"}
    return Oracle("timm", model.eval(), hooks, _timm_outputs)


def _timm_outputs(model: nn.Module, pixels: Tensor) -> Stages:
    features = model.forward_features(pixels)
    outputs = {"pooled": model.forward_head(features, pre_logits=True)}
    if model.num_classes:
        outputs["logits"] = model.forward_head(features)
    return outputs


def transformers_oracle(family: str, document: Mapping[str, Any], config: EncoderConfig) -> Oracle:
    """Build transformers' model from a ``config.json``."""
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    settings = AutoConfig.for_model(**document)
    head = isinstance(config, ViTConfig) and config.classes > 0
    auto = AutoModelForImageClassification if head else AutoModel
    attention = {} if isinstance(config, ConvNeXtConfig) else {"attn_implementation": "sdpa"}
    return of_transformers(auto.from_config(settings, **attention), family, config)


def of_transformers(model: nn.Module, family: str, config: EncoderConfig) -> Oracle:
    """Take a model that transformers built."""
    model = model.eval()
    head = isinstance(config, ViTConfig) and config.classes > 0
    trunk = "vit." if head else ""
    if isinstance(config, ConvNeXtConfig):
        hooks = {"stem": "model.stages.0.downsample_layers.1"}
        for s, depth in enumerate(config.depths):
            hooks |= {f"stage.{s}.block.{i:02d}": f"model.stages.{s}.layers.{i}" for i in range(depth)}
            hooks |= {f"stage.{s}.down": f"model.stages.{s}.downsample_layers.1"} if s else {}
        return Oracle("transformers", model, {**hooks, "norm": "layer_norm"}, _transformers_outputs)
    layers = {
        "dinov2": "encoder.layer.{}",
        "dinov3_vit": "model.layer.{}",
        "vit": trunk + "layers.{}",
        "aimv2": "encoder.layers.{}",
    }[family]
    norm = {"dinov2": "layernorm", "dinov3_vit": "norm", "vit": trunk + "layernorm", "aimv2": "rms_norm"}[family]
    hooks = {"tokens": trunk + "embeddings", "norm": norm}
    hooks |= {f"block.{i:02d}": layers.format(i) for i in range(config.depth)}
    return Oracle("transformers", model, hooks, _transformers_outputs)


def _transformers_outputs(model: nn.Module, pixels: Tensor) -> Stages:
    extra = {"interpolate_pos_encoding": True} if model.config.model_type == "vit" else {}
    output = model(pixel_values=pixels, **extra)
    if "logits" in output:
        return {"logits": output.logits}
    stages = {"norm": output.last_hidden_state}
    if output.get("pooler_output") is not None:
        stages["pooled"] = output.pooler_output
    return stages


def draw_everything(model: nn.Module, seed: int) -> None:
    """Give every parameter of another library's model a value that matters, as its own loader never would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and not name.endswith(("token", "tokens", "pos_embed", "position_embeddings")):
                fan_in = parameter[0].numel()
                parameter.copy_(noise / fan_in**0.5)
            elif any(word in name for word in ("gamma", "lambda", "scale")):
                parameter.copy_(0.3 + 0.1 * noise)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise * (0.1 if parameter.ndim == 1 else 1.0))
