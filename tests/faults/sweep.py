"""Every trial of the corpus, in pieces that processes can share.

In: the number of a piece. Out: its rows. A trial that cannot be made is an error of the corpus or of the verifier, and
ends the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from faults import trial
from faults.fault import Fault, Healthy
from faults.healthy import healthy
from faults.power import Row
from faults.subjects import Subject, subjects, whole
from faults.table import FAULTS, by_name

PARTS = 3
"""Pieces for each encoder."""

Piece = tuple[int, int]
"""An encoder's place among ``subjects``, and a part of its trials."""


def pieces() -> list[Piece]:
    """Return every piece, one encoder after another."""
    return [(subject, part) for subject in range(len(subjects())) for part in range(PARTS)]


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Put rows in the order of the tables, and of the encoders within each name."""
    names = [*(fault.name for fault in FAULTS), *dict.fromkeys(run.name for run in healthy())]
    labels = [subject.label for subject in subjects()]
    return sorted(rows, key=lambda row: (names.index(row.name), labels.index(row.subject)))


def swept(piece: Piece) -> list[Row]:
    """Make the trials of one piece."""
    subject, part = subjects()[piece[0]], piece[1]
    faults = [fault for fault in FAULTS if fault.fits(subject)]
    runs = list(healthy((subject,)))
    return _rows(subject, faults[part::PARTS], runs[part::PARTS])


WHOLE_FAULTS = (
    "tanh GELU in one block",
    "GELU for SiLU in one block",
    "eps of another family in one block",
    "softmax scale 5 % off in one block",
    "rotary periods rounded to bfloat16",
    "one weight of the MLP times 1.5",
    "attention of one block in float16",
    "position table off by one",
    "pixels divided by 256",
    "outputs times 1.00001",
    "one patch token wrong",
    "hf32 in convolutions",
    "hf32 in both",
    "bfloat16 by autocast",
    "a head zeroed (bfloat16)",
)
"""Tried at full size too, where one trial takes from ten seconds to some minutes."""
WHOLE_RUNS = (
    "products added from the last",
    "simulated NPU, strict",
    "hf32 arithmetic, expected",
    "bfloat16 asked for, products in pieces",
    "the model of timm",
    "the model of transformers",
)
WHOLE_INPUTS = 2


def swept_whole(number: int) -> list[Row]:
    """Make the chosen trials on one encoder of the reports at full size, and let go of it."""
    subject = whole()[number]
    faults = [fault for fault in map(by_name, WHOLE_FAULTS) if fault.fits(subject)]
    runs = [replace(run, seed=0, photographs=WHOLE_INPUTS) for run in healthy((subject,)) if run.name in WHOLE_RUNS]
    rows = _rows(subject, faults, runs, WHOLE_INPUTS)
    trial.forget()
    return rows


def _rows(subject: Subject, faults: Iterable[Fault], runs: Iterable[Healthy], count: int = trial.INPUTS) -> list[Row]:
    tried = [trial.try_fault(fault, subject, count)[0] for fault in faults]
    return tried + [trial.try_healthy(run)[0] for run in runs]
