"""The contract every runtime keeps: pixels in, features out, and an honest answer to what else it can show.

A runner is one encoder in one runtime on one device. Verification, timing and embedding drive nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from snellen.devices import Device
from snellen.encoders.features import Features, Tap
from snellen.errors import UsageError

if TYPE_CHECKING:
    from numpy import float32, uint8
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[float32]

BATCH = 8
"""Images encoded at once where neither a plan nor a person says otherwise."""


class Runner(ABC):
    """One encoder, running.

    ``stages`` are the names a tap sees, in order; empty where the runtime shows none, and ``note`` says why. Those in
    ``watched`` can then be looked at, but not replaced.
    """

    runtime: str
    version: str | None = None  # of the runtime's own package
    device: Device
    dtype: str  # in which it computes, read back where the runtime can be asked
    stages: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    note: str = ""
    ours: bool = False  # whether it runs snellen's own encoder code
    batch: int = BATCH  # images at once that suit it
    fixed: int | None = None  # images in every batch that it runs; smaller ones are filled up, larger ones taken apart
    reused: bool | None = None  # whether what it compiled last was there before; None: it does not tell

    @abstractmethod
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels [b, 3, h, w], float32 on the CPU; the features stay where the runtime leaves them.

        ``tap`` sees every stage as the runtime makes it, and what it returns (same shape, dtype and device) is what
        the next stage is fed. Raises UsageError for a tap where ``stages`` is empty, InputError for a size that the
        encoder does not take. The work may still be under way when this returns: ``device.synchronize()`` waits.
        """

    def vectors(self, batches: Iterable[Array]) -> Iterator[Array]:
        """Embed batches of pixels, each [b, 3, h, w], into vectors [b, D], in order.

        A runtime that can has several batches under way: it may ask for the next before it gives the last.
        """
        import torch

        for pixels in batches:
            pooled = self.run(torch.from_numpy(pixels)).pooled
            yield pooled.float().cpu().numpy()

    def eight_bit_vectors(
        self, batches: Iterable[NDArray[uint8]], normalise: Callable[[Tensor], Tensor]
    ) -> Iterator[Array]:
        """Embed batches of 8-bit pixels, which ``normalise`` brings to the encoder's range; else as ``vectors``."""
        import torch

        return self.vectors(normalise(torch.from_numpy(pixels)).numpy() for pixels in batches)

    def look(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the stages in ``watched`` for pixels [b, 3, h, w], through a second build of the network."""
        raise UsageError(
            f"the runtime {self.runtime!r} has no stages that can only be looked at",
            todo="a tap sees those it has; --runtime eager has all",
        )

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Return parameters and buffers by name, where they lie; nothing where the runtime does not hand them out."""
        return ()

    def close(self) -> None:  # noqa: B027  # many runtimes hold nothing that does not go with the runner
        """Give back what the runtime holds; the runner is not used afterwards."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_tap(runner: Runner, tap: Tap | None) -> None:
    """Raise UsageError for a tap where the runner shows no stages."""
    if tap is not None and not runner.stages:
        raise UsageError(
            f"the runtime {runner.runtime!r} shows no stages" + (f" ({runner.note})" if runner.note else ""),
            expected="outputs only",
            todo="judge its outputs, or take --runtime eager",
        )
