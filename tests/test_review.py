"""Faults that a review found in what is read from and written to the disk, each held to stay away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import snellen
from snellen.checkpoints import hub, modelscope
from snellen.checkpoints.hub_config import image_side, read_config, write_config
from snellen.checkpoints.state import fill
from snellen.encoders.build import build
from snellen.encoders.config import ConvNeXtConfig, ViTConfig
from snellen.errors import BadFile, CheckpointError, KeyMismatch, UsageError
from snellen.model.source import opened

NAME = "vit_small_patch16_dinov3.lvd1689m"
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def documents(**changes: object) -> dict[str, dict[str, object]]:
    """Return a small configuration of each type that is set in an unusual way here."""
    common = {**SIZES, "intermediate_size": 96, "patch_size": 16, "image_size": 64, "num_register_tokens": 4}
    convnext = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8]}
    return {
        "dinov2": {"model_type": "dinov2", **common, **changes},
        "dinov3": {"model_type": "dinov3_vit", **common, **changes},
        "convnext": {"model_type": "dinov3_convnext", **convnext, **changes},
    }


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("ratio", [1, 3, 4, 5])
def test_the_ratio_of_a_network_of_ones_own(ratio: float, gated: bool) -> None:
    from transformers import AutoConfig, AutoModel

    _, config = read_config(documents(mlp_ratio=ratio, use_swiglu_ffn=gated)["dinov2"], "the test")
    document = write_config("dinov2", config, 64)
    assert read_config(document, "the test")[1] == config
    document.pop("architectures")
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**document))
    widths = {
        key: len(tensor) for key, tensor in model.state_dict().items() if "layer.0.mlp.fc1.w" in key or "gate" in key
    }
    assert set(widths.values()) == {config.hidden}


def test_a_gate_that_no_ratio_gives_is_refused() -> None:
    _, config = read_config(documents(use_swiglu_ffn=True)["dinov2"], "the test")
    with pytest.raises(UsageError, match="no mlp_ratio"):
        write_config("dinov2", ViTConfig(**{**vars_of(config), "hidden": config.hidden + 1}), 64)


def test_a_broken_ratio_is_read_as_it_was_written_and_refused_where_it_cannot_be_written() -> None:
    _, config = read_config(documents(mlp_ratio=2.671875)["dinov2"], "the test")
    assert isinstance(config, ViTConfig)
    assert config.hidden == 171
    with pytest.raises(UsageError, match="no mlp_ratio for a gelu of 171 between layers of 64"):
        write_config("dinov2", config, 64)


def test_a_network_that_transformers_cannot_describe_is_refused() -> None:
    _, config = read_config(documents()["dinov2"], "the test")
    with pytest.raises(UsageError, match="set to the patch_norm of this network"):
        write_config("dinov2", ViTConfig(**{**vars_of(config), "patch_norm": True}), 64)


def vars_of(config: object) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.parametrize("kind", ["dinov2", "dinov3", "convnext"])
def test_a_square_may_be_stated_twice(kind: str) -> None:
    family, config = read_config(documents(image_size=[64, 64])[kind], "the test")
    assert (family, config) == read_config(documents(image_size=64)[kind], "the test")
    for size in ([64, 32], [64], "64", 64.0, None, [True, True], 10**30):
        with pytest.raises(CheckpointError, match="sets image_size to"):
            read_config(documents(image_size=size)[kind], "the test")
    assert image_side({}, "the test") == 224


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("dinov3", {"use_gated_mlp": True}),  # without the activation that goes with it
        ("dinov3", {"use_gated_mlp": "yes"}),
        ("dinov3", {"query_bias": None}),
        ("dinov3", {"query_bias": False}),
        ("dinov3", {"hidden_size": 10**30}),
        ("dinov2", {"mlp_ratio": "4"}),
        ("dinov2", {"mlp_ratio": float("inf")}),
        ("dinov2", {"mlp_ratio": float("nan")}),
        ("dinov2", {"mlp_ratio": None}),
        ("dinov2", {"use_swiglu_ffn": 1}),
    ],
)
def test_a_setting_of_the_wrong_kind_is_one_of_our_errors(kind: str, setting: dict[str, object]) -> None:
    read_config(documents()[kind], "the test")
    with pytest.raises(CheckpointError, match="the test"):
        read_config(documents(**setting)[kind], "the test")


def test_an_empty_table_of_registers(tmp_path: Path) -> None:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    settings = DINOv3ViTConfig(**SIZES, intermediate_size=96, image_size=64)
    DINOv3ViTModel(settings).eval().save_pretrained(tmp_path / "saved")
    model = snellen.load(tmp_path / "saved", recipe="stored | squash 64 bicubic | scale | pool cls")
    assert model.encoder.config.registers == 0
    assert any("embeddings.register_tokens" in note for note in model.record.notes)
    record = snellen.convert(str(tmp_path / "saved"), tmp_path / "again", dialect="transformers")
    loaded, report = DINOv3ViTModel.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert record.digest == model.record.digest
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = model.encoder(pixels).cls, loaded(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """Return small checkpoints as transformers writes them to the disk, and as it names them in memory."""
    from transformers import AutoModel, DINOv3ConvNextConfig, DINOv3ViTConfig

    found: dict[str, dict[str, torch.Tensor]] = {}
    for kind, settings in {
        "vit": DINOv3ViTConfig(**SIZES, intermediate_size=96, num_register_tokens=4),
        "convnext": DINOv3ConvNextConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8]),
    }.items():
        folder = tmp_path_factory.mktemp(kind)
        model = AutoModel.from_config(settings)
        model.save_pretrained(folder)
        found[f"{kind} disk"] = load_file(folder / "model.safetensors")
        found[f"{kind} memory"] = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        found[f"{kind} config"] = json.loads((folder / "config.json").read_text())
    return found


WRAPS = ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod."]


@pytest.mark.parametrize("wrap", ["", *WRAPS])
@pytest.mark.parametrize("place", ["disk", "memory"])
@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_wrappers_change_nothing(kind: str, place: str, wrap: str, whole, tmp_path: Path) -> None:
    state = whole[f"{kind} {place}"]
    (tmp_path / "config.json").write_text(json.dumps(whole[f"{kind} config"]))
    save_file({wrap + key: tensor for key, tensor in state.items()}, tmp_path / "model.safetensors")
    found = snellen.inspect(tmp_path).finding
    assert found.dialect == ("transformers" if place == "disk" else "transformers 5 in memory")
    assert (found.missing, found.unexpected, found.misshapen) == ((), (), ())


def test_the_count_of_an_averaged_model(whole, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(whole["vit config"]))

    def findings(wrap: str, beside: str):
        state = {wrap + key: tensor for key, tensor in whole["vit disk"].items()}
        save_file({**state, beside: torch.tensor(3)}, tmp_path / "model.safetensors")
        return snellen.inspect(tmp_path).finding

    found = findings("module.", "n_averaged")
    assert found.unexpected == ()
    assert any("n_averaged" in str(line) for line in found.ignored)
    assert findings("module.", "n_counted").unexpected == ("n_counted",)
    assert findings("", "n_averaged").unexpected == ("n_averaged",)  # no wrapper, so it is not the wrapper's


CONVNEXT = ConvNeXtConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))


@pytest.mark.parametrize(
    ("value", "stored", "run", "offered"),
    [
        (3.4e38, "float32", "bfloat16", "run it as float32"),
        (1e300, "float64", "float32", "check where the weights come from"),
        (7e4, "float32", "float16", "run it as float32 or bfloat16"),
        (-7e4, "bfloat16", "float16", "run it as float32 or bfloat16"),
    ],
)
def test_a_number_that_the_dtype_cannot_hold(value: float, stored: str, run: str, offered: str) -> None:
    def native(peak: float):
        for name, parameter in build(CONVNEXT).named_parameters():
            tensor = torch.zeros(parameter.shape, dtype=getattr(torch, stored))
            if name == "norm.weight":
                tensor[3] = peak
            yield name, tensor

    encoder = build(CONVNEXT).to(getattr(torch, run)).to_empty(device="cpu")
    fill(encoder, native(1e4))
    with pytest.raises(KeyMismatch, match=f"do not fit into {run}: norm.weight") as caught:
        fill(encoder, native(value))
    assert caught.value.nonfinite == ("norm.weight",)
    assert offered in str(caught.value)


def test_the_largest_numbers_fit() -> None:
    largest = torch.finfo(torch.float16).max + 10  # rounds down, not up
    encoder = build(CONVNEXT).half().to_empty(device="cpu")
    fill(encoder, ((name, torch.full(p.shape, largest)) for name, p in encoder.named_parameters()))
    assert all(torch.isfinite(parameter).all() for parameter in encoder.parameters())


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "processor_config.json"])
def test_settings_that_are_no_object(name: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / name).write_text("{}")
    with opened(str(tmp_path), None):
        pass
    (tmp_path / name).write_text("[1]")
    with pytest.raises(BadFile, match=f"{name}' is not a JSON object but a list"), opened(str(tmp_path), None):
        pass
    if name == "processor_config.json":
        (tmp_path / name).write_text('{"image_processor": [1]}')
        with pytest.raises(BadFile, match="image_processor in"), opened(str(tmp_path), None):
            pass


@pytest.mark.parametrize("nested", [{"image_processor": {"size": 48}}, {"image_processor": None}, {}, None])
@pytest.mark.parametrize("plain", [True, False])
def test_which_processor_is_taken_as_transformers_takes_it(nested, plain: bool, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    kind = {"image_processor_type": "ViTImageProcessor"}
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    if plain:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({**kind, "size": {"height": 32, "width": 32}}))
    if nested is not None:
        table = nested.get("image_processor")
        inner = {**kind, "size": {"height": 48, "width": 48}} if table else table
        (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner} if nested else {}))
    with opened(str(tmp_path), None) as source:
        ours = source.processor
    if ours is None:
        with pytest.raises((OSError, ValueError)):
            AutoImageProcessor.from_pretrained(tmp_path)
        return
    assert AutoImageProcessor.from_pretrained(tmp_path).size["height"] == ours["size"]["height"]
    assert ours["size"]["height"] == (48 if nested and nested["image_processor"] else 32)


def test_every_processor_file_is_downloaded() -> None:
    assert "processor_config.json" in hub.SETTINGS
    assert tuple(modelscope.SETTINGS) == hub.SETTINGS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_memory_format_is_asked_for_beside_a_cast(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build(CONVNEXT).to(dtype).to_empty(device="cpu")
    original = torch.Tensor.to

    def strict(tensor: torch.Tensor, *args: object, **named: object) -> torch.Tensor:
        assert "memory_format" not in named, "torch_npu raises here"
        return original(tensor, *args, **named)

    monkeypatch.setattr(torch.Tensor, "to", strict)
    with pytest.raises(AssertionError, match="torch_npu"):
        torch.zeros(1, 3, 32, 32).to(dtype, memory_format=torch.channels_last)
    encoder(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("weights", ["seed:0", "timm", "x.pth"])
def test_another_default_device_changes_nothing(weights: str, tmp_path: Path) -> None:
    name = "dinov3_vits16" if weights == "x.pth" else NAME
    if weights != "seed:0":
        dialect = "meta" if weights == "x.pth" else "timm"
        weights = str(tmp_path / weights)
        snellen.convert("seed:0", weights, dialect=dialect, name=name)
    image = tmp_path / "a.png"
    Image.effect_noise((40, 30), 90).save(image)
    expected = snellen.load(name, weights=weights)
    with torch.device("meta"):
        model = snellen.load(name, weights=weights)
        vector = model.embed(image)
    assert model.record.digest == expected.record.digest
    assert (vector == expected.embed(image)).all()


def test_rounded_periods_can_be_asked_for() -> None:
    from dataclasses import replace

    encoder = build(ViTConfig(patch=16, width=64, depth=1, heads=1, hidden=8, position="rope"), "cpu")
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = encoder(pixels).patches
    encoder.config = replace(encoder.config, rope_rounding=True)
    assert not torch.equal(encoder(pixels).patches, exact)
