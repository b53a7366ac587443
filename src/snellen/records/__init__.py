"""What a run leaves behind: frozen, JSON-serialisable records, standard library only.

``model``: which encoder made the numbers, and what became of one input image. ``inputs``: one image to embed.
``store``: what makes vectors comparable, parts, runs and the manifest. ``search``: what was found in a store, and
whether vectors may be mixed with its own. ``plan``: how an encoder is run on a machine. ``verify``: a trial and its
verdict. ``reading``: records back from JSON.
"""

from snellen.records.model import Choice, ModelRecord, Origin, Outcome, Status

__all__ = ["Choice", "ModelRecord", "Origin", "Outcome", "Status"]
