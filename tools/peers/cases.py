"""Which encoders are measured, in what, and what was promised; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from snellen.devices import processor

THREADS = processor.cores()
"""Of every process while it is measured: the processors that may be used."""

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
    """One way to run an encoder."""

    peer: str
    dtype: str

    @property
    def name(self) -> str:
        """How the case is called in tables."""
        return f"{self.peer} {self.dtype}"


CASES = (
    Case("timm", "float32"),
    Case("transformers", "float32"),
    Case("torch.compile", "float32"),
    Case("ONNX Runtime", "float32"),
    Case("snellen", "float32"),
    Case("timm", "bfloat16"),
    Case("torch.compile", "bfloat16"),
    Case("snellen", "bfloat16"),
    Case("snellen", "int8"),
)

CEILINGS = ("float32", "bfloat16")
ENDS = ("float32", "bfloat16", "int8")  # dtypes that are measured from JPEG files

BATCHES = (1, 4, 8, 2)
"""Tried for every case, in this order: the ends of the range first, for time may run out."""

SCOUT_S = 0.7  # of one batch size
SCOUTING_S = 35.0  # of all sizes of a case, its compiling among them; no further one is begun then
TURN_S = 8.0  # a batch size of which one measurement would take longer is not tried

BUILD_S = 180.0  # a case that has not been built by then is left out
ANSWER_S = 240.0  # and one that does not answer for so long

CLOSE = 0.03  # a batch this little slower than the best one is measured in every round, too
KEPT = 2  # batches that share a case's turn, at most

BUSY = 0.05  # of all processors' time: with more of it spent elsewhere a run says little, and the page says so

# What was promised of ratios within one run on a machine of two cores.
FLOAT32_RATIO, FLOAT32_MEAN, FLOAT32_SHARE = 1.15, 1.25, 0.92
BFLOAT16_RATIO, BFLOAT16_MEAN = 2.1, 2.4
INT8_RATIO = 3.8
COLD_PART, COLD_S = 0.2, 0.8
END_SHARE = 0.92
WARM_WEIGHTS, FIRST_WEIGHTS = 2.3, 3.2

APART = {"float32": 1e-4, "bfloat16": 3e-2}
"""How far a case's vectors may lie from timm's in float32, relative to their size, for it to count as the same thing.

8 bits are held to the limits of ``snellen.verification.likeness``.
"""


def cases_of(subject: Subject, only: tuple[str, ...], *, int8_all: bool) -> tuple[Case, ...]:
    """Return the cases of an encoder; ``only`` names peers, dtypes or whole cases, beside what ratios are to."""
    kept = [case for case in CASES if case.dtype != "int8" or subject.int8 or int8_all]
    wanted = {*only, BASELINE}
    return tuple(case for case in kept if not only or {case.peer, case.dtype, case.name} & wanted)
