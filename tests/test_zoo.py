"""The zoo: every row has the names, parameters, keys and shapes that the libraries and the published tables give it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snellen import zoo
from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.checkpoints.hub_config import read_config, write_config
from snellen.checkpoints.recognise import recognise
from snellen.encoders.build import build
from snellen.encoders.config import EncoderConfig, ViTConfig
from snellen.encoders.cost import operations
from snellen.errors import UnknownName
from snellen.model.identify import CLASSES, LIBRARY
from snellen.zoo.conventions import config_for, recipe_for
from snellen.zoo.variant import Variant

ROWS = pytest.mark.parametrize("variant", zoo.ROWS, ids=[row.name for row in zoo.ROWS])

# Billions of multiply-adds at timm's input size, from timm's benchmark tables. They count norms too, hence 1 %.
GMACS = {
    "vit_small_patch14_dinov2.lvd142m": 46.76,
    "vit_base_patch14_dinov2.lvd142m": 151.71,
    "vit_large_patch14_dinov2.lvd142m": 507.15,
    "vit_giant_patch14_dinov2.lvd142m": 1784.2,
    "vit_giant_patch14_reg4_dinov2.lvd142m": 1790.08,
    "vit_small_patch16_dinov3.lvd1689m": 6.26,
    "vit_small_plus_patch16_dinov3.lvd1689m": 8.11,
    "vit_base_patch16_dinov3.lvd1689m": 23.60,
    "vit_large_patch16_dinov3.lvd1689m": 82.43,
    "vit_huge_plus_patch16_dinov3.lvd1689m": 224.88,
    "vit_7b_patch16_dinov3.lvd1689m": 1775.1,
    "convnext_tiny.dinov3_lvd1689m": 4.47,
    "convnext_large.dinov3_lvd1689m": 34.40,
    "vit_base_patch16_224.orig_in21k": 17.58,
    "vit_huge_patch14_224.orig_in21k": 167.4,
    "aimv2_large_patch14_224.apple_pt": 82.30,
    "aimv2_huge_patch14_336.apple_pt": 416.36,
    "aimv2_3b_patch14_448.apple_pt": 2939.61,
}


def released(variant: Variant, library: str) -> EncoderConfig:
    """Return the network with the parts that the release of ``library`` holds."""
    config = config_for(variant, library)
    if isinstance(config, ViTConfig):
        config = replace(config, classes=CLASSES[variant.head], pooler=config.pool == "tanh_cls")
    return config


def spelled(variant: Variant, name: str) -> Plan:
    dialect = next(d for d in DIALECTS if (d.family, d.name) == (variant.family, name))
    config = released(variant, LIBRARY[dialect.library])
    classes = isinstance(config, ViTConfig) and config.classes
    return plan(dialect, config, prefix=dialect.head_prefix if classes else "", extras=variant.extras)


def test_every_row_of_the_families_is_there() -> None:
    count = {family: sum(row.family == family for row in zoo.ROWS) for family in {row.family for row in zoo.ROWS}}
    assert count == {"dinov2": 8, "dinov3_vit": 8, "dinov3_convnext": 4, "vit": 14, "aimv2": 14}


@ROWS
def test_published_counts(variant: Variant) -> None:
    assert {name: spelled(variant, name).parameters() for name, _ in variant.parameters} == dict(variant.parameters)
    assert variant.name in {name for _, name in variant.names}


def test_a_wrong_count_would_be_seen() -> None:
    variant = zoo.find("vit_small_patch14_dinov2").variant
    wrong = replace(variant, config=replace(variant.config, hidden=1535))
    assert spelled(wrong, "timm").parameters() != dict(variant.parameters)["timm"]


@pytest.mark.parametrize("name", [name for row in zoo.ROWS for name in row.timm])
def test_keys_and_shapes_are_timms(name: str) -> None:
    import timm

    named = zoo.find(name)
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    ours = spelled(named.variant, named.dialect)
    assert ours.foreign() == {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert ours.parameters() == sum(parameter.numel() for parameter in model.parameters())
    assert timm.get_pretrained_cfg(name).hf_hub_id == named.repo


@ROWS
def test_keys_and_shapes_are_those_of_transformers(variant: Variant) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    if variant.transformers is None:
        return  # stated by the row: transformers has no such weights; test_which_rows_transformers_lacks holds the list
    config = released(variant, "transformers")
    document = write_config(variant.family, config, variant.image)
    document.pop("architectures")
    settings = AutoConfig.for_model(**document)
    head = isinstance(config, ViTConfig) and config.classes
    auto = AutoModelForImageClassification if head else AutoModel
    with torch.device("meta"):
        model = auto.from_config(settings)
        if not head and variant.family == "vit" and not config.pooler:
            model.pooler = None
    name = "transformers" if variant.family == "aimv2" else "transformers 5 in memory"
    ours = spelled(variant, name)
    assert ours.written() == {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert ours.parameters() == spelled(variant, "transformers").parameters()
    family, read = read_config({**settings.to_dict(), **document}, "the test")
    assert family == variant.family
    assert replace(read, **parts(config)) == config


def parts(config: EncoderConfig) -> dict[str, object]:
    """Return what the weights decide and not the configuration file."""
    if not isinstance(config, ViTConfig):
        return {}
    return {"pool": config.pool, "pooler": config.pooler, "classes": config.classes}


def test_which_rows_transformers_lacks() -> None:
    lacking = {row.name for row in zoo.ROWS if row.transformers is None}
    assert all("augreg" in name for name in lacking)
    assert len(lacking) == 9


@pytest.mark.parametrize(
    "base", sorted({name.partition(".")[0] for row in zoo.ROWS for name in row.timm} - zoo.NOT_OURS)
)
def test_a_name_without_its_tag_is_timms_default(base: str) -> None:
    import timm

    assert zoo.find(base).variant is zoo.find(f"{base}.{timm.get_pretrained_cfg(base).tag}").variant


@pytest.mark.parametrize("base", sorted(zoo.NOT_OURS))
def test_names_that_mean_other_weights_are_not_ours(base: str) -> None:
    import timm

    assert "dinov3" not in timm.get_pretrained_cfg(base).tag
    with pytest.raises(UnknownName, match="dinov3_lvd1689m"):
        zoo.find(base)


def test_every_name_finds_its_row_and_names_are_unique() -> None:
    names = [name for row in zoo.ROWS for _, name in row.names]
    assert len(names) == len(set(names))
    for row in zoo.ROWS:
        for library, name in row.names:
            named = zoo.find(name)
            assert (named.variant, named.library, named.name) == (row, library, name)
    assert zoo.find("timm/vit_small_patch14_dinov2.lvd142m").library == "timm"
    assert zoo.find("hf-hub:timm/vit_small_patch14_dinov2.lvd142m").library == "timm"
    assert zoo.find("dinov2_vits14_pretrain.pth").library == "original"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("vit_smal_patch16_dinov3", "vit_small_patch16_dinov3"),
        ("facebook/dinov2-smal", "facebook/dinov2-small"),
        ("google/vit-base-patch16-244", "google/vit-base-patch16-224"),
        ("dinov2_vits41", "dinov2_vits14"),
        ("apple/aimv2-large-patch14-225", "apple/aimv2-large-patch14-224"),
    ],
)
def test_a_misspelt_name_answers_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UnknownName) as caught:
        zoo.find(wrong)
    assert right in caught.value.nearest
    assert right in str(caught.value)


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_operations_are_those_of_the_benchmark_tables(name: str, gmacs: float) -> None:
    row = zoo.find(name).variant
    assert operations(row.config, row.image, row.image) / 2e9 == pytest.approx(gmacs, rel=0.01)


def test_the_attention_is_counted() -> None:
    row = zoo.find("vit_small_patch14_reg4_dinov2").variant
    assert operations(row.config, 518, 518) / 2e9 > 1.5 * 29.6  # what a count without it gives (timm's model card)


@ROWS
def test_every_recipe_fits_its_encoder(variant: Variant) -> None:
    from snellen.model.loading import choose_recipe

    for library in {library for library, _ in variant.names}:
        recipe, config = choose_recipe(recipe_for(variant, library), released(variant, library))
        assert config.pool == recipe.pool
        assert build(config).grid(torch.empty(1, 3, *recipe.size, device="meta"))


@ROWS
def test_a_file_is_recognised_by_exactly_one_dialect(variant: Variant) -> None:
    for dialect in DIALECTS:
        if dialect.family != variant.family:
            continue
        for prefix in dialect.prefixes:
            config = released(variant, LIBRARY[dialect.library])
            written = plan(dialect, config, prefix=prefix, extras=variant.extras).written()
            spelling = recognise(written, "the test")
            assert spelling.dialect.family == dialect.family
            same_plan = set(spelling.plan(config, variant.extras).written()) == set(written)
            assert spelling.dialect is dialect or same_plan
