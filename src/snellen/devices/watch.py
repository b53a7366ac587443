"""What torch says about operators that ran on the CPU instead of the device: heard, and listed by name.

In: a block of code. Out: a ``Watch`` with the operators that fell back while the block ran. Back-ends say it in two
ways: as a Python warning, or, past Python's handler of warnings (as torch_npu does), as a line on stderr.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TextIO

UNNAMED = "an operator that torch does not name"

# The wordings, from the sources of torch, torch-xpu-ops and torch_npu:
#   mps        The operator 'aten::x' is not currently supported on the MPS backend and will fall back to run on the CPU
#   torch_npu  the same with CAUTION before it and NPU for MPS; where an operator of its own cannot do it either:
#              CAUTION: The operator aten::x is currently not supported ... operator will fallback to run on the CPU
#   xpu        The operator 'aten::x on the XPU backend is falling back to run on the CPU
#              Aten Op fallback from XPU to CPU happends      (unless PYTORCH_DEBUG_XPU_FALLBACK is set)
_NAMED = re.compile(
    r"The operator '?(?P<name>\w+::[\w.]+)[^\n]{0,400}?\bfall(?:s|ing)? ?back to run on the CPU", re.IGNORECASE
)
_NAMELESS = re.compile(r"Op fallback from \w+ to CPU happen", re.IGNORECASE)
_ANY = rf"(?s:.*)(?:{_NAMED.pattern}|{_NAMELESS.pattern})"

_SAID: list[str] = []  # operators that a back-end has named on stderr, which it does once in a process


@dataclass
class Watch:
    """What was heard.

    ``fallbacks`` lists operators in the order in which they were first heard; what is printed instead of warned is
    added when the block is left. ``earlier`` lists those that were named before the block: torch_npu names an operator
    once in a process, so these may have fallen back again without a word. ``deaf`` is why nothing can be heard, or
    None.
    """

    fallbacks: list[str] = field(default_factory=list)
    earlier: tuple[str, ...] = ()
    deaf: str | None = None

    def hear(self, text: str) -> list[str]:
        """Add the operators that ``text`` reports, and return them."""
        found = [match["name"] for match in _NAMED.finditer(text)]
        found += [UNNAMED] * bool(_NAMELESS.search(text))
        for name in found:
            if name not in self.fallbacks:
                self.fallbacks.append(name)
        return found


@contextmanager
def watching(*, printed: bool = False, deaf: str | None = None) -> Iterator[Watch]:
    """Hear warnings of fallbacks, and take them out of the stream; every other warning goes its way.

    ``printed``: the back-end writes to stderr itself, below Python. Then stderr goes through a file, and appears when
    the block is left, so that the block should be short.
    """
    watch = Watch(earlier=tuple(_SAID) if printed else (), deaf=deaf)
    with ExitStack() as stack:
        if printed:
            stack.enter_context(_reading_stderr(watch))
        stack.enter_context(_every_time())
        stack.enter_context(_taking_warnings(watch))
        yield watch


@contextmanager
def _taking_warnings(watch: Watch) -> Iterator[None]:
    with warnings.catch_warnings():
        # First in the row, so that no filter around can turn these into errors or drop them.
        warnings.filterwarnings("always", message=_ANY)
        show = warnings.showwarning

        def showwarning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not watch.hear(str(message)):
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = showwarning
        yield


@contextmanager
def _every_time() -> Iterator[None]:
    """Let torch repeat warnings that it would give once in a process, perhaps long before the block."""
    import torch

    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        yield
    finally:
        torch.set_warn_always(before)


@contextmanager
def _reading_stderr(watch: Watch) -> Iterator[None]:
    """Send file descriptor 2 through a file: a pipe would need a reader, which may not run while torch writes."""
    try:
        real = os.dup(2)
    except OSError as error:
        watch.deaf = watch.deaf or f"stderr cannot be read: {error}"
        yield
        return
    with tempfile.TemporaryFile() as file:
        _flush()
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(real, 2)
            text = _repeat(file, real)
            os.close(real)
            _SAID.extend(name for name in watch.hear(text) if name not in _SAID)


def _repeat(file: IO[bytes], to: int) -> str:
    """Write to ``to`` everything that was written to the file, and return it."""
    file.seek(0)
    content = file.read()
    left = memoryview(content)
    with suppress(OSError):  # a closed stderr is no reason to fail
        while left:
            left = left[os.write(to, left) :]
    return content.decode("utf-8", "replace")


def _flush() -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
