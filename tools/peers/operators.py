"""timm and transformers import torchvision, whose compiled operators belong to one build of torch.

Where they do not load they are declared: nothing here calls them, but the import asks for them.
"""

from __future__ import annotations

import os
import subprocess
import sys

ASKED = "SNELLEN_BENCH_DECLARE"  # an environment variable: 1 where they have to be declared
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_KEPT: list[object] = []  # they are declared for as long as this lives


def look() -> str:
    """Return 1 where torchvision cannot be imported as it is: found out in a process of its own, once."""
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False)
    return str(int(tried.returncode != 0))


def declare() -> None:
    """Declare the operators, once, where that was found to be needed."""
    if os.environ.get(ASKED) == "1" and not _KEPT:
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            library.define(name + SCHEMA)
        _KEPT.append(library)
