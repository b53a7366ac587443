"""Keep Pillow's warnings to itself while a file of unknown quality is read.

Pillow warns where this package raises an error or writes a note. ``warnings.catch_warnings`` alone is no
answer: it swaps one list for the whole process, and a data loader decodes in many threads at once. So the
first thread in installs the filter, and the last one out restores what was there.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _Filter:
    """Pillow's warnings ignored while anyone is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = ExitStack()

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._restore.enter_context(warnings.catch_warnings())
                _ignore()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore.close()


_filter = _Filter()


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings raised by Pillow's own modules for the length of the block, in any number of threads."""
    if getattr(sys.flags, "context_aware_warnings", 0):  # each thread has filters of its own: nothing is shared
        with warnings.catch_warnings():
            _ignore()
            yield
        return
    _filter.enter()
    try:
        yield
    finally:
        _filter.leave()


def _ignore() -> None:
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
