"""``snellen verify``: whether an encoder computes the same in another place, and if not, where and why.

In: a model and a place to try it, or the record of an earlier trial. Out: a verdict as text, JSON or JUnit XML.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snellen.cli import asking, options, saved, show, verdict
from snellen.errors import DeviceUnavailable, ImageError, UsageError

if TYPE_CHECKING:
    from snellen.model.model import Model
    from snellen.records.verify import TrialRecord
    from snellen.verification.golden import Golden
    from snellen.verification.inputs import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, one field for each parameter of the command."""

    model: str | None
    weights: str | None
    recipe: str | None
    device: str
    runtime: str
    dtype: str
    images: tuple[str, ...]
    seeds: str | None
    rule: str | None
    expect: str | None
    save_golden: str | None
    golden: str | None
    saved: str | None
    simulate: bool
    stages: bool
    strict: bool
    output: str | None
    as_json: bool
    quiet: bool

    def say(self, text: str) -> None:
        """Tell on stderr how far it is, unless that is not wanted."""
        show.say(text, quiet=self.quiet)


RUN = (
    "model",
    "weights",
    "recipe",
    "device",
    "runtime",
    "dtype",
    "images",
    "seeds",
    "save_golden",
    "golden",
    "stages",
    "simulate",
)
"""What belongs to a run, and so not to a record of one."""

EXCLUDED = (
    ("images", "seeds", "one kind of input"),
    ("golden", "images", "the inputs that the golden brings"),
    ("golden", "seeds", "the inputs that the golden brings"),
    ("golden", "save_golden", "a golden that is read, or one that is made"),
)
"""Options that are not taken together, and what is expected of the two."""

FULL = ("out of memory", "can't allocate memory")
"""What torch and its devices say of a memory that is full; not all of them raise torch.OutOfMemoryError."""

LONGEST = 19
"""Digits of the largest seed; Python refuses to read numbers of thousands."""

WEIGHTS, RECIPE, DEVICE, _ = options.ENCODER[1:]
DTYPE = click.option(  # the reference is float64: there is nothing above it to judge it by
    "--dtype", metavar="NAME", default="float32", show_default=True, help="float32, bfloat16, float16."
)


@click.command(short_help="Try an encoder in another place: a verdict.")
@click.argument("model", required=False, metavar="[MODEL]")
@WEIGHTS
@RECIPE
@DEVICE
@click.option("--runtime", metavar="NAME", default="eager", show_default=True, help="What executes the encoder.")
@DTYPE
@options.output
@options.as_json
@options.quiet
@click.option("--images", metavar="DIR|FILE", multiple=True, help="Compare on these; repeatable.  [default: our own]")
@click.option("--seeds", metavar="LIST", help="Compare on random pixels instead: 42,123,256.")
@click.option("--rule", metavar="NAME", help=f"How the verdict is reached.  [default: {saved.CALIBRATED}]")
@click.option("--expect", metavar="CLASS", help="The precision required: float32, hf32, ...  [default: the dtype's]")
@click.option("--save-golden", metavar="FILE", type=click.Path(), help="Keep the golden in a .golden file.")
@click.option("--golden", metavar="FILE", type=click.Path(), help="Compare with a golden made elsewhere.")
@click.option("--from", "saved", metavar="RECORD", type=click.Path(), help="Judge a saved .json record; run nothing.")
@click.option("--stages", is_flag=True, help="Watch stages in a second build, where a runtime needs one.")
@click.option("--simulate", is_flag=True, help="A dry run: the device is a simulated NPU.")
@click.option("--strict", is_flag=True, help="A limited verdict makes the exit code 1, too.")
@click.pass_context
def verify(context: click.Context, /, **given: Any) -> int:
    """Say whether MODEL computes the same on a device, in a runtime, in a dtype; and if not, where and why.

    The trial is compared with the same encoder in float64 on the CPU, and judged by how far the CPU's own run in that
    dtype lies from it. With -o a .json record or a .xml report (JUnit) is written, and the report goes to stderr.
    --from judges a record again by any rule; that needs neither the model nor the device.

    SNELLEN_SIMULATE=npu:NAME=VALUE,... sets what --simulate starts: arithmetic (float32, hf32, float16, bfloat16),
    devices, memory_bytes, missing (aten::gelu+...), launch_seconds.

    The exit code is 0 for pass and limited, 1 for fail, 3 for inconclusive.

    \b
    Example:
      snellen verify vit_small_patch14_dinov2.lvd142m --device cuda -o trial.json
      snellen verify --from trial.json --rule cosine-seeds
    """
    asked = Asked(**given)
    _check(asked, {name for name in given if context.get_parameter_source(name) is not ParameterSource.DEFAULT})
    if asked.saved is None:
        with named(asked.device):
            record = _tried(asked)
    else:
        record = saved.judged_again(asked.saved, asked.rule, asked.expect)
    verdict.show(record, asked.output, as_json=asked.as_json, quiet=asked.quiet, strict=asked.strict)
    return verdict.exit_code(record.verdict, strict=asked.strict)


def _check(asked: Asked, given: Collection[str]) -> None:
    """Refuse what does not go together before anything is loaded."""
    run = [name for name in RUN if name in given]
    if asked.saved is not None and run:
        asking.apart("from", run[0], "a record of a trial that was run before, and nothing to run")
    if asked.saved is None and asked.model is None:
        raise UsageError(
            "no model was named", expected="MODEL, or --from RECORD", todo="snellen models lists the names"
        )
    for one, other, expected in EXCLUDED:
        if one in given and other in given:
            asking.apart(one, other, expected)
    if asked.output is not None:
        verdict.check(Path(asked.output), verdict.ENDINGS)


# ---- a trial


def _tried(asked: Asked) -> TrialRecord:
    """Run the trial. The model is loaded where the golden is computed: in float32 on the CPU."""
    from snellen.model.loading import load
    from snellen.verification import bundle
    from snellen.verification.trial import verify as run

    if asked.save_golden is not None:
        verdict.check(Path(asked.save_golden), (bundle.ENDING,))
    if asked.simulate:
        asking.simulate(asked.device, asked.say)
    assert asked.model is not None  # _check has seen to it
    inputs = _inputs(asked)
    model = load(asked.model, weights=asked.weights, recipe=asked.recipe)
    start = time.perf_counter()
    golden, kept = _golden(asked, model, inputs)
    spent = time.perf_counter() - start
    record = run(
        model,
        device=asked.device,
        runtime=asked.runtime,
        dtype=asked.dtype,
        inputs=inputs if golden is None else None,
        golden=golden,
        rule=asked.rule or saved.CALIBRATED,
        expect=asked.expect,
        stages=asked.stages,
        progress=asked.say,
    )
    return record if golden is None else _with_golden(record, kept, spent)


def _golden(asked: Asked, model: Model, inputs: Inputs | None) -> tuple[Golden | None, str]:
    """Return the golden that was named, or the one that is kept, and where; None where the trial makes its own."""
    from snellen.verification import bundle, golden
    from snellen.verification import inputs as kinds

    if asked.golden is not None:
        found = bundle.load(asked.golden)
        bundle.check_belongs(found, model)
        return found, ""
    if asked.save_golden is None:
        return None, ""
    made = golden.compute(model, inputs or kinds.photographs(), golden.every_noise(), asked.say)
    seal = bundle.save(asked.save_golden, made)
    asked.say(f"golden written to {asked.save_golden}, sha256 {seal}")
    return made, f"kept in {Path(asked.save_golden).name}, sha256 {seal[:16]}"


def _with_golden(record: TrialRecord, kept: str, spent: float) -> TrialRecord:
    """Say where the golden was kept, and count what it took outside of the trial to its seconds."""
    seconds = {part: round(s + spent, 3) if part in {"golden", "total"} else s for part, s in record.seconds.items()}
    golden = f"{record.golden}, {kept}" if kept else record.golden
    return replace(record, golden=golden, seconds=seconds)


@contextmanager
def named(device: str) -> Iterator[None]:
    """Name what is no fault of snellen's: an image to compare on that is none, and memory that ran out.

    An image is one of many elsewhere, and exit code 1; here it is what the verdict was to rest on. Raises UsageError
    and DeviceUnavailable.
    """
    try:
        yield
    except ImageError as error:
        raise UsageError(error.seen, expected=error.expected, todo=error.todo or "leave it out") from error
    except (MemoryError, RuntimeError) as error:  # (RuntimeError: torch.OutOfMemoryError, and what the CPU raises)
        said = str(error).strip().partition("\n")[0]
        if not isinstance(error, MemoryError) and not any(word in said for word in FULL):
            raise
        raise DeviceUnavailable(
            f"the memory ran out in a trial on {device}: {said or 'no message'}",
            expected="room for the golden in float64 on the CPU, and for the encoder on the device",
            todo="end what else is there, try fewer images, or choose another device or a smaller --dtype",
        ) from error


def _inputs(asked: Asked) -> Inputs | None:
    """Return the images or seeds that were named; None for neither."""
    if not asked.images and asked.seeds is None:
        return None
    from snellen.embed.sources import paths
    from snellen.verification import inputs

    if asked.seeds is not None:
        return inputs.seeded(_seeds(asked.seeds))
    return inputs.images(list(paths(asked.images, sys.stdin.buffer)))


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and len(word) <= LONGEST for word in words):
        raise UsageError(
            f"the seeds are {text[:60]!r}",
            expected="whole numbers from 0 to 2**63 - 1, separated by commas",
            todo="42,123,256",
        )
    return [int(word) for word in words]
