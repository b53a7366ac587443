"""Memory that goes back to the system when it is let go of; an allocator may keep what it is given back."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held(size: int) -> Iterator[None]:
    """Hold this many bytes, every page of them touched."""
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1
        yield
