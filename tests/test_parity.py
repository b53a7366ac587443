"""Promise 1, shrunken: every family, MLP, register count and bias mode, both directions, two sizes, two dtypes."""

from __future__ import annotations

import pytest

from parity.cases import Case
from parity.compare import distances, inward, outward
from parity.controls import CASES, FAULTLESS, Control, controls, run, seen, too_far
from snellen.encoders.config import ConvNeXtConfig

IDS = [f"{case.family}-{case.name}-{case.dialect.library}" for case in CASES]


@pytest.mark.parametrize("direction", [outward, inward])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_numbers(case: Case, direction) -> None:
    ours, oracle, _ = direction(case)
    found = distances(case, ours, oracle)
    assert not too_far(found)
    depth = sum(case.config.depths) if isinstance(case.config, ConvNeXtConfig) else case.config.depth
    assert len({d.stage for d in found}) >= depth + 1  # every block, and an output


@pytest.mark.parametrize("control", controls(), ids=lambda control: control.name)
def test_a_fault_is_seen(control: Control) -> None:
    assert seen(control, run(control))


def test_the_faultless_encoder_passes_the_same_way() -> None:
    """The controls would prove nothing if the comparison failed for another reason."""
    assert not seen(FAULTLESS, run(FAULTLESS))
