"""What one comparison found: standard library only, so that both interpreters can use it."""

from __future__ import annotations

from dataclasses import dataclass, field

PARTS = ("cls/pooled", "registers", "patches", "blocks", "logits")
"""What is compared: class token and pooled vector, registers, patch tokens (all normed), what every block puts out."""

Differences = dict[str, float]
"""The relative Frobenius difference of each part that both sides have."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One encoder at one input size, in one direction.

    ``single`` and ``double`` are the differences in float32 and float64; a part that is absent does not exist in this
    encoder. ``single_limit`` is a few times what the order of additions alone does.
    """

    family: str
    kind: str
    direction: str
    size: tuple[int, int] | None
    loads: bool
    single: Differences = field(default_factory=dict)
    double: Differences = field(default_factory=dict)
    single_limit: float = 5e-6
    double_limit: float = 1e-12
    fault: str = ""  # what their loader, or ours, said

    @property
    def passed(self) -> bool:
        """Tell whether it loaded strictly and every difference is within its limit; nothing compared is no pass."""
        compared = self.loads and bool(self.single) and self.single.keys() == self.double.keys()
        single = all(value <= self.single_limit for value in self.single.values())
        return compared and single and all(value <= self.double_limit for value in self.double.values())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about their code that snellen relies on, and what was seen."""

    family: str
    text: str
    seen: str
    holds: bool
