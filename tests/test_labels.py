"""The class names of ImageNet-1k against timm's own list, one by one and in order."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

from snellen.zoo.labels import FILE, imagenet1k, imagenet1k_synsets


def oracle():
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def test_names_and_order_are_timms():
    info = oracle()
    assert info.num_classes() == len(imagenet1k()) == len(imagenet1k_synsets()) == 1000
    assert list(imagenet1k_synsets()) == [info.index_to_label_name(index) for index in range(1000)]
    assert list(imagenet1k()) == [info.index_to_description(index) for index in range(1000)]


def test_the_comparison_sees_two_classes_that_changed_places():
    names = list(imagenet1k())
    names[281], names[282] = names[282], names[281]
    assert names != oracle().label_descriptions()
    assert sorted(names) == sorted(oracle().label_descriptions())


def test_well_known_indices():
    assert imagenet1k()[0] == "tench, Tinca tinca"
    assert imagenet1k()[281] == "tabby, tabby cat"
    assert imagenet1k()[999] == "toilet tissue, toilet paper, bathroom tissue"


def test_no_name_is_empty_or_padded_and_no_synset_comes_twice():
    assert all(name and name == name.strip() for name in imagenet1k())
    assert len(set(imagenet1k_synsets())) == 1000


def test_the_file_carries_its_source_and_licence():
    text = resources.files("snellen.zoo").joinpath(FILE).read_text(encoding="utf-8")
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    for words in (
        "WordNet 3.0 Copyright 2006 by Princeton University",
        "Permission to use, copy, modify",
        "timm 1.0.31",
    ):
        assert words in header


def test_nothing_is_read_before_it_is_asked_for():
    code = (
        "import snellen.zoo.labels as l; assert l.imagenet1k.cache_info().misses == 0; "
        "import sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; "
        "assert l.imagenet1k() is l.imagenet1k()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
