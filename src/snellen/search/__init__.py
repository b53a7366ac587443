"""Using a store: finding in it what looks alike, and telling whether vectors made now may stand beside its own.

``nearest`` is exact search over arrays, ``searcher`` over a store, ``index`` asks faiss instead. ``query`` opens the
encoder that a store was made with, and refuses any other. ``mixing`` embeds a sample of a store again and judges it.
"""

from __future__ import annotations

from snellen.search.nearest import Nearest
from snellen.search.searcher import Searcher

__all__ = ["Nearest", "Searcher"]
