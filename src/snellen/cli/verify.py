"""``snellen verify``: whether an encoder computes the same in another place, and if not, where and why.

In: a model and a place to try it, or the record of an earlier trial. Out: a verdict as text, JSON or JUnit XML.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from snellen.cli import options, show, verdict
from snellen.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from snellen.model import Model
    from snellen.records.verify import TrialRecord, Verdict
    from snellen.verification.golden import Golden
    from snellen.verification.inputs import Inputs

CALIBRATED = "calibrated"


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

WEIGHTS, RECIPE, DEVICE, DTYPE = options.ENCODER[1:]


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
@click.option("--rule", metavar="NAME", help=f"How the verdict is reached.  [default: {CALIBRATED}]")
@click.option("--expect", metavar="CLASS", help="The precision required: float32, hf32, ...  [default: the dtype's]")
@click.option("--save-golden", metavar="FILE", type=click.Path(), help="Keep the golden in a .golden file.")
@click.option("--golden", metavar="FILE", type=click.Path(), help="Compare with a golden made elsewhere.")
@click.option("--from", "saved", metavar="RECORD", type=click.Path(), help="Judge a saved .json record; run nothing.")
@click.option("--simulate", is_flag=True, help="A dry run: the device is a simulated NPU.")
@click.option("--strict", is_flag=True, help="A limited verdict makes the exit code 1, too.")
@click.pass_context
def verify(context: click.Context, /, **given: Any) -> int:
    """Say whether MODEL computes the same on a device, in a runtime, in a dtype; and if not, where and why.

    The trial is compared with the same encoder in float64 on the CPU, and judged by how far the CPU's own run in that
    dtype lies from it. With -o a .json record or a .xml report (JUnit) is written, and the report goes to stderr.
    --from judges a record again by any rule; that needs neither the model nor the device.

    The exit code is 0 for pass and limited, 1 for fail, 3 for inconclusive.

    \b
    Example:
      snellen verify vit_small_patch14_dinov2.lvd142m --device cuda -o trial.json
      snellen verify --from trial.json --rule cosine-seeds
    """
    asked = Asked(**given)
    _check(asked, {name for name in given if context.get_parameter_source(name) is not ParameterSource.DEFAULT})
    record = _judged_again(asked) if asked.saved else _tried(asked)
    verdict.show(record, asked.output, as_json=asked.as_json, quiet=asked.quiet)
    return verdict.exit_code(record.verdict, strict=asked.strict)


def _check(asked: Asked, given: Collection[str]) -> None:
    """Refuse what does not go together before anything is loaded."""
    from snellen import draft

    run = [name for name in RUN if name in given]
    if asked.saved and run:
        _apart("from", run[0], "a record of a trial that was run before, and nothing to run")
    if not asked.saved and asked.model is None:
        raise UsageError(
            "no model was named", expected="MODEL, or --from RECORD", todo="snellen models lists the names"
        )
    for one, other, expected in EXCLUDED:
        if one in given and other in given:
            _apart(one, other, expected)
    if asked.output:
        draft.check(Path(asked.output), verdict.ENDINGS)


def _apart(one: str, other: str, expected: str) -> NoReturn:
    first, second = (name.upper() if name == "model" else f"--{name.replace('_', '-')}" for name in (one, other))
    raise UsageError(f"{first} and {second} were both given", expected=expected, todo=f"leave {first} or {second} out")


# ---- a trial


def _tried(asked: Asked) -> TrialRecord:
    """Run the trial. The model is loaded where the golden is computed: in float32 on the CPU."""
    from snellen import draft
    from snellen.model import load
    from snellen.verification import bundle
    from snellen.verification.trial import verify as run

    if asked.save_golden:
        draft.check(Path(asked.save_golden), (bundle.ENDING,))
    if asked.simulate:
        _simulate(asked.device)
    assert asked.model is not None  # _check has seen to it
    inputs = _inputs(asked)
    model = load(asked.model, weights=asked.weights, recipe=asked.recipe)
    golden = _golden(asked, model, inputs)
    return run(
        model,
        device=asked.device,
        runtime=asked.runtime,
        dtype=asked.dtype,
        inputs=inputs if golden is None else None,
        golden=golden,
        rule=asked.rule or CALIBRATED,
        expect=asked.expect,
        progress=asked.say,
    )


def _golden(asked: Asked, model: Model, inputs: Inputs | None) -> Golden | None:
    """Return the golden that was named, or the one that shall be kept; None where the trial makes its own."""
    from snellen.verification import bundle, golden
    from snellen.verification import inputs as kinds

    if asked.golden:
        found = bundle.load(asked.golden)
        bundle.check_belongs(found, model)
        return found
    if not asked.save_golden:
        return None
    made = golden.compute(model, inputs or kinds.photographs(), golden.every_noise(), asked.say)
    seal = bundle.save(asked.save_golden, made)
    asked.say(f"golden written to {asked.save_golden}, sha256 {seal}")
    return made


def _inputs(asked: Asked) -> Inputs | None:
    """Return the images or seeds that were named; None for neither."""
    if not asked.images and asked.seeds is None:
        return None
    from snellen.embed.inputs import expand
    from snellen.verification import inputs

    if asked.seeds is not None:
        return inputs.seeded(_seeds(asked.seeds))
    return inputs.images(list(expand(asked.images, sys.stdin.buffer)))


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise UsageError(
            f"the seeds are {text!r}", expected="whole numbers from 0, separated by commas", todo="42,123,256"
        )
    return [int(word) for word in words]


def _simulate(device: str) -> None:
    """Start the simulated device; refuse a dry run on anything else, or it would be a trial that nobody wanted."""
    from snellen import devices
    from snellen.devices import simulated

    simulated.start()
    if not devices.resolve(device).simulated:
        raise UsageError(
            f"--simulate was given, and {device} is not simulated", expected="--device npu", todo="name it"
        )


# ---- a saved record


def _judged_again(asked: Asked) -> TrialRecord:
    """Read a saved record and judge it: by the rule asked for, or the one that it was judged by. Needs no torch."""
    from snellen.verification import rules

    assert asked.saved is not None  # whoever calls has looked
    record = _read(Path(asked.saved))
    if asked.expect:
        known = [name for output in record.outputs for name in output.ladder]
        if asked.expect not in known:
            raise UnknownName("precision class in this record", asked.expect, known)
        record = dataclasses.replace(record, expect=asked.expect)
    before = record.verdict
    rule = asked.rule or (before.rule if before else CALIBRATED)
    rules.check(rule)
    if before is None:  # the trial did not trust itself; no rule can mend that
        show.say("the record holds no verdict, for its self-test failed; it gets none here")
        return record
    judged = rules.concluded(record, rule)
    _compare(before, judged.verdict)
    return judged


def _compare(before: Verdict, after: Verdict | None) -> None:
    """Say so where the same rule concludes otherwise than it did: a figure, the class required or the rule changed."""
    if after and before.rule == after.rule and before.outcome != after.outcome:
        show.say(f"note: {after.rule} concluded {before.outcome} when the record was made, and {after.outcome} now")


def _read(path: Path) -> TrialRecord:
    from snellen.records.reading import read_trial

    expected, todo = "a record that snellen verify wrote: -o trial.json", "check the path"
    try:
        return read_trial(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}", expected=expected, todo=todo) from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UsageError(f"{str(path)!r} is no JSON: {error}", expected=expected, todo=todo) from error
