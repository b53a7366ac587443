"""Which encoders are measured, in what, and what was promised; imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass

THREADS = os.cpu_count() or 1
"""Of every process while it is measured."""

WEIGHTS = "seed:0"
"""Of every encoder: the same in every library."""

BASELINE = "timm float32"
"""What ratios are to."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One encoder of the five reports, under the name its report gives it."""

    name: str
    side: int  # of the input, in pixels
    int8: bool = False  # also in 8 bits where nobody asks for more
    bfloat16_share: float = 0.85  # of the ceiling, promised


SUBJECTS = (
    Subject("vit_small_patch14_reg4_dinov2.lvd142m", 518, bfloat16_share=0.78),
    Subject("vit_small_patch16_dinov3.lvd1689m", 256, int8=True, bfloat16_share=0.78),
    Subject("facebook/dinov3-vitb16-pretrain-lvd1689m", 224),
    Subject("google/vit-base-patch16-224-in21k", 224),
    Subject("apple/aimv2-large-patch14-224-distilled", 224),
)

SMALL = "vit_small_patch16_dinov3.lvd1689m"
"""The encoder of cold starts, and of what is measured where things have to be quick."""

LARGE = "apple/aimv2-large-patch14-224-distilled"
"""The encoder whose memory is measured."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run an encoder; the best of ``batches`` counts."""

    peer: str
    dtype: str
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        """How the case is called in tables."""
        return f"{self.peer} {self.dtype}"


CASES = (
    Case("timm", "float32", (1, 8)),
    Case("transformers", "float32", (1, 8)),
    Case("torch.compile", "float32", (1, 8)),
    Case("ONNX Runtime", "float32", (1, 8)),
    Case("snellen", "float32", (1, 2, 4)),
    Case("timm", "bfloat16", (1, 8)),
    Case("torch.compile", "bfloat16", (1, 8)),
    Case("snellen", "bfloat16", (1, 2, 4)),
    Case("snellen", "int8", (1, 2, 4)),
)

CEILINGS = ("float32", "bfloat16")
ENDS = ("float32", "bfloat16", "int8")  # dtypes that are measured from JPEG files

CLOSE = 0.05  # a batch this little slower than the best one is measured in every round, too

BUSY = 0.05  # of all processors' time: with more of it spent elsewhere a run says little, and the page says so

# What was promised of ratios within one run on a machine of two cores.
FLOAT32_RATIO, FLOAT32_MEAN, FLOAT32_SHARE = 1.15, 1.25, 0.92
BFLOAT16_RATIO, BFLOAT16_MEAN = 2.1, 2.4
INT8_RATIO = 3.8
COLD_PART, COLD_S = 0.2, 0.8
END_SHARE = 0.92
WARM_WEIGHTS, FIRST_WEIGHTS = 2.3, 3.2


def cases_of(subject: Subject, only: tuple[str, ...], *, int8_all: bool) -> tuple[Case, ...]:
    """Return the cases of an encoder; ``only`` names peers, dtypes or whole cases."""
    kept = [case for case in CASES if case.dtype != "int8" or subject.int8 or int8_all]
    return tuple(case for case in kept if not only or {case.peer, case.dtype, case.name} & set(only))
