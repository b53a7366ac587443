"""What every test shares: the oracles can be imported, processes do not fight for cores, nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

# The oracles import torchvision, whose compiled operators belong to one build of torch. They only have to be declared
# for the import to succeed; nothing here calls them.
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_LIBRARY: pytest.StashKey[object] = pytest.StashKey()

# Settings and folders of whoever runs the tests.
PERSONAL = (
    *("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE"),
    *("SNELLEN_MODELS", "SNELLEN_CACHE_LIMIT", "SNELLEN_SIMULATE"),
)


_CACHE: pytest.StashKey[str] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the process before anything imports the oracles or the hub's library, which reads its settings once."""
    for name in PERSONAL:
        os.environ.pop(name, None)
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody listens there: a test that needs a hub brings its own

    if not os.environ.get("PYTEST_XDIST_WORKER"):  # the workers share the folder of the process that starts them
        config.stash[_CACHE] = os.environ["SNELLEN_CACHE"] = tempfile.mkdtemp(prefix="snellen-tests-")

    import torch

    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)
    config.stash[_LIBRARY] = declare_operators()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache that the tests filled."""
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)


def declare_operators() -> object:
    """Declare torchvision's operators; the declarations end with the object that is returned."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(name + SCHEMA)
    return library
