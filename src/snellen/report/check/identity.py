"""Whether a report speaks of one thing throughout: a device, a model, a setup; and says what it has to say first.

In: a report's document. Out: findings.
"""

from __future__ import annotations

from snellen.records.report import MARKER
from snellen.report.check.found import Findings
from snellen.report.check.walk import Part

SIMULATED = (
    "trial.candidate.simulated",
    "trial.candidate.device.simulated",
    "bench.simulated",
    "bench.device.simulated",
    "environment.device.simulated",
    "tune.device.simulated",
)
"""Places that say whether the device was simulated."""
MODELS = ("model", "trial.model", "bench.model", "tune.model")
DEVICES = ("environment.device", "trial.candidate.device", "bench.device")
DRAWN = "seed"
TRAINED = ("repo", "revision", "path")
"""What the origin of drawn weights does not have."""


def check(document: Part, out: Findings) -> None:
    """Look at what stands in several places of a report."""
    _simulated(document, out)
    _weights(document, out)
    models = [document[name] for name in MODELS if document[name]]
    for name in ("variant", "digest", "recipe_hash"):
        _same([model[name] for model in models], out)
    _same([document["model.digest"], document["facts.digest"]], out)
    for name in ("name", "product"):
        _same([document[place][name] for place in DEVICES], out)
    _same([document["trial.candidate.runtime"], document["bench.setup.runtime"]], out)
    _same([document["trial.candidate.dtype"], document["bench.setup.dtype"]], out)
    devices = [tensor["device"] for tensor in document["evidence.outputs"].parts()]
    _same([document["evidence.output_device"], *devices], out)


def _simulated(document: Part, out: Findings) -> None:
    """Hold the mark and every place that says it to each other."""
    said = {MARKER: bool(document[MARKER])}
    for place in SIMULATED:
        whole = place.rpartition(".")[0]
        if document[whole]:
            said[place] = document[place].true
    others = ", ".join(place for place, value in said.items() if value)
    for place, value in said.items():
        seen, expected = "not said to be simulated", f"simulated, as {others} says"
        out.judge("simulated", place, holds=value or not others, seen=seen, expected=expected)


def _weights(document: Part, out: Findings) -> None:
    """Hold the origins of the weights to each other; drawn ones have nothing of what trained ones come with."""
    origins = [document[name]["origin"] for name in MODELS if document[name]["origin"]]
    if not origins:
        out.skip("weights", "it does not say where the weights come from", "model.origin")
        return
    kinds = {origin["kind"].text for origin in origins}
    drawn = DRAWN in kinds
    for origin in origins:
        kind = origin["kind"].text
        holds = (kind == DRAWN) == drawn
        out.judge("weights", origin["kind"].place, holds=holds, seen=f"{kind}", expected=f"{DRAWN}, as elsewhere")
        if kind == DRAWN and drawn:
            for part in (origin[name] for name in TRAINED):
                out.judge("weights", part.place, holds=not part, seen=f"{part.value}", expected="none of drawn weights")
    if drawn:
        files = document["facts.files"]
        seen = f"{len(files.parts())} files"
        out.judge("weights", files.place, holds=not files.parts(), seen=seen, expected="none of drawn weights")


def _same(parts: list[Part], out: Findings) -> None:
    """Hold values that are there to the first of them."""
    known = [part for part in parts if part]
    for part in known[1:]:
        first = known[0]
        seen, expected = _shown(part.value), f"{_shown(first.value)}, as {first.place} says"
        out.judge("same", part.place, holds=part.value == first.value, seen=seen, expected=expected)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
