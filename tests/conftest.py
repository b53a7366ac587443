"""What every test shares: the oracles can be imported, processes do not fight for cores, nothing leaves the machine."""

from __future__ import annotations

import os

import pytest

# The oracles import torchvision, whose compiled operators belong to one build of torch. They only have to be declared
# for the import to succeed; nothing here calls them.
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_LIBRARY: pytest.StashKey[object] = pytest.StashKey()

# Settings and folders of whoever runs the tests.
PERSONAL = ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE", "SNELLEN_MODELS")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the process before anything imports the oracles or the hub's library, which reads its settings once."""
    for name in PERSONAL:
        os.environ.pop(name, None)
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody listens there: a test that needs a hub brings its own

    import torch

    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)
    config.stash[_LIBRARY] = declare_operators()


def declare_operators() -> object:
    """Declare torchvision's operators; the declarations end with the object that is returned."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(name + SCHEMA)
    return library
