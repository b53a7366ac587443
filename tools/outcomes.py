"""Render the table of odd files (tests/odd_files) as docs/outcomes.md: every kind of input, and what becomes of it.

In: the rows that the tests hold to what happens. Out: Markdown; ``tools/docs.py`` writes and checks it.
"""

from __future__ import annotations

import sys
from pathlib import Path


def outcomes() -> str:
    """Return the document."""
    tests = str(Path(__file__).parent.parent / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from odd_files import outcomes as rendered

    return rendered()
