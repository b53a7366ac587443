"""The options that commands share, in three bundles: which encoder, where it runs, where the output goes.

``encoder`` joins the first two into one ``Wanted``, so that a command takes one parameter and loads a model from it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from snellen.model.model import Model
    from snellen.runtimes.requests import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The encoder that was asked for, and the place where it shall run."""

    model: str
    weights: str | None
    recipe: str | None
    device: str
    dtype: str | None

    def asked(self, runtime: str | None, *, recipe: str | None, plan: bool, images: int | None) -> Asked:
        """Return what to open for embedding so many images, in a runtime of that name, or as its plan says."""
        from snellen.runtimes.requests import AUTO, Asked

        return Asked(
            name=self.model,
            weights=self.weights,
            recipe=recipe,
            device=self.device,
            runtime=runtime or AUTO,
            dtype=self.dtype,
            plan=plan,
            images=images,
        )

    def load(self) -> Model:
        """Load it."""
        from snellen.model.loading import load

        dtype = self.dtype or "float32"
        return load(self.model, weights=self.weights, recipe=self.recipe, device=self.device, dtype=dtype)


ENCODER = (
    click.option(
        "-m",
        "--model",
        required=True,
        metavar="MODEL",
        help="A timm name, a Hugging Face id, an original name, or a folder or file with a checkpoint.",
    ),
    click.option(
        "--weights", metavar="WHERE", help="A file, a folder, a hub id, or seed:N.  [default: the hub of the name]"
    ),
    click.option("--recipe", metavar="NAME|TEXT", help="Another name's recipe, or a text.  [default: the model's own]"),
    click.option(
        "--device", metavar="NAME", default="cpu", show_default=True, help="cpu, cuda, cuda:1, npu, xpu, mps."
    ),
    click.option("--dtype", metavar="NAME", help="float32, bfloat16, float16, float64, int8.  [default: float32]"),
)

output = click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Write here; the ending is the format.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")
quiet = click.option("--quiet", is_flag=True, help="No progress and no summary; what fails is still said.")


def encoder(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose an encoder and its place; the command receives them as ``wanted``."""

    @functools.wraps(command)
    def gather(model: str, weights: str | None, recipe: str | None, device: str, dtype: str | None, **own: Any) -> Any:
        return command(Wanted(model=model, weights=weights, recipe=recipe, device=device, dtype=dtype), **own)

    for option in reversed(ENCODER):  # the help lists them in the order they are written
        gather = option(gather)
    return gather
