"""How the candidate is called: always on a copy of the pixels, always waited for, and what it raises is named.

The candidate may be anybody's code. It must not reach the golden's memory, and its faults are not snellen's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snellen.encoders.features import Features, Tap
from snellen.errors import CandidateError, SnellenError
from snellen.runtimes.base import Runner

if TYPE_CHECKING:
    from torch import Tensor


def call(runner: Runner, pixels: Tensor, what: str, tap: Tap | None = None) -> Features:
    """Run a batch and wait for it; ``what`` says which run it is, for the message of one that fails.

    Raises CandidateError for anything the candidate raises that is not an error of snellen's own.
    """
    with named(runner, pixels, what):
        features = runner.run(pixels.clone(), tap)
        runner.device.synchronize()
    return features


def look(runner: Runner, pixels: Tensor, what: str) -> dict[str, Tensor]:
    """Return the stages of a batch from the build of the network that shows them. Raises as ``call`` does."""
    with named(runner, pixels, what):
        stages = runner.look(pixels.clone())
        runner.device.synchronize()
    return stages


@contextmanager
def named(runner: Runner, pixels: Tensor, what: str) -> Iterator[None]:
    """Raise CandidateError for anything that is raised inside and is not an error of snellen's own."""
    try:
        yield
    except SnellenError:
        raise
    except Exception as error:  # whatever somebody's code, library or driver raises
        said = str(error).strip().partition("\n")[0] or "no message"
        count = "1 input" if len(pixels) == 1 else f"{len(pixels)} inputs"
        raise CandidateError(
            f"the candidate ({runner.runtime} on {runner.device.name}) raised {type(error).__name__} {what}: {said}",
            expected=f"features of {count} of {pixels.shape[2]} x {pixels.shape[3]} pixels",
            todo="run it on such a batch by itself; nothing was judged",
        ) from error
