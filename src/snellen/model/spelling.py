"""A loaded model's weights as another library names them in memory, without a file between.

In: a model, which is only read. Out: the spellings that can hold its weights, and its tensors in one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from snellen.checkpoints.dialects import DIALECTS
from snellen.checkpoints.dialects.rules import Plan, plan
from snellen.encoders.config import ViTConfig
from snellen.model.model import Model

if TYPE_CHECKING:
    from torch import Tensor


def spellings(model: Model, library: str) -> Iterator[Plan]:
    """Yield every spelling that ``library`` has for the model's family and that can hold its weights."""
    config = model.encoder.config
    classes = isinstance(config, ViTConfig) and config.classes > 0
    state = model.encoder.state_dict()
    for dialect in DIALECTS:
        if (dialect.library, dialect.family) == (library, model.record.family):
            spelled = plan(dialect, config, prefix=dialect.head_prefix if classes else "")
            if not any(state[key].count_nonzero() for key in spelled.filled):
                yield spelled


def spelled_state(model: Model, spelled: Plan) -> dict[str, Tensor]:
    """Return the model's tensors as ``spelled`` names them; most share their memory with the model's own."""
    return dict(spelled.write(model.encoder.state_dict().__getitem__))
