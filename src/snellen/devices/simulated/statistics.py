"""What the simulated NPU counts, for tests that ask what really ran there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts since the settings last changed; operators by torch's name without the overload."""

    launched: Mapping[str, int]  # operators, views not among them
    fallbacks: Mapping[str, int]  # missing operators, computed by the CPU with a warning
    silent: Mapping[str, int]  # injected: computed by the CPU without one
    faults: Mapping[str, int]  # injected faults that struck, by kind
    eager: Mapping[str, int]  # operators whose result's shape depends on numbers: they wait
    waits: int  # times somebody waited for a device
    queued: int  # operators that nobody has waited for yet


@dataclass(slots=True)
class Counts:
    """The counters themselves."""

    launched: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    eager: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    queued: int = 0

    def snapshot(self) -> Statistics:
        """Return the counts as they stand."""
        return Statistics(
            launched=dict(self.launched),
            fallbacks=dict(self.fallbacks),
            silent=dict(self.silent),
            faults=dict(self.faults),
            eager=dict(self.eager),
            waits=self.waits,
            queued=self.queued,
        )
