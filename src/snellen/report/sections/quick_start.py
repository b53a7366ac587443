"""How to make this card's figures again: commands and lines of Python with the record's own names and settings.

Every command is whole. Where the record does not hold what belongs there (a folder of photographs), it says ``photos``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from snellen.records.report import ReportRecord
from snellen.report.sections.parts import Code, Section, Text
from snellen.report.sections.places import EXTRAS, RUNTIMES, SET_ENV, SIMULATE, VISIBLE, kind

ENDPOINT = "HF_ENDPOINT"
FOLDER = "weights"
PHOTOS = "photos"


def quick_start(record: ReportRecord) -> Section:
    """Return the commands."""
    return Section("quick_start", tuple(_parts(record)))


def _parts(record: ReportRecord) -> Iterator[Code]:
    yield _shell("install", _install(record))
    setting = tuple(_setting(record))
    if setting:
        yield _shell("setting", *setting)
    source = record.model["origin"]
    if source["kind"] == "hub":
        yield _shell("download", *_download(record))
    embed = ["embed", PHOTOS, "-m", _name(record), *_weights(record), *_place(record), "-o", "photos.parquet"]
    yield _shell("embed", _snellen(embed))
    yield _shell("verify", _snellen(["verify", _name(record), *_weights(record), *_place(record), *_inputs(record)]))
    batches = ",".join(str(point.batch) for point in record.bench.points if point.outcome == "measured")
    sizes = ["-b", batches] if batches else []
    baseline = ["--baseline", record.bench.baseline.device] if record.bench.baseline else []
    yield _shell("bench", _snellen(["bench", _name(record), *sizes, *_weights(record), *_place(record), *baseline]))
    yield Code(Text("code.python"), "python", _python(record))
    yield _shell("card", record.command)


def _shell(key: str, *lines: str) -> Code:
    return Code(Text(f"code.{key}"), "sh", "\n".join(lines))


def _snellen(words: list[str]) -> str:
    return shlex.join(["snellen", *words])


def _install(record: ReportRecord) -> str:
    device = "" if record.simulated else kind(record)  # the stand-in comes with snellen
    extras = [EXTRAS.get(device), RUNTIMES.get(record.trial.candidate.runtime)]
    if record.model["origin"]["kind"] == "modelscope":
        extras.append("modelscope")
    wanted = ",".join(filter(None, extras))
    return f"pip install {shlex.quote(f'.[{wanted}]')}" if wanted else "pip install ."


def _setting(record: ReportRecord) -> Iterator[str]:
    """Yield what has to be set before a run on this device."""
    variables, device = record.environment.variables, kind(record)
    if record.simulated:
        yield f"export {SIMULATE}={shlex.quote(variables.get(SIMULATE, device))}"
        return
    if device in SET_ENV:
        yield SET_ENV[device]
    chooses = VISIBLE.get(device, "")
    if chooses in variables:
        yield f"export {chooses}={shlex.quote(variables[chooses])}"


def _download(record: ReportRecord) -> Iterator[str]:
    """Yield how to fetch the weights once; the mirror only where the record says that one was used."""
    source = record.model["origin"]
    endpoint = record.environment.variables.get(ENDPOINT)
    yield f"export {ENDPOINT}={shlex.quote(endpoint)}" if endpoint else f"# export {ENDPOINT}=<mirror>"
    revision = ["--revision", source["revision"]] if source.get("revision") else []
    yield shlex.join(["hf", "download", str(source["repo"]), *revision, "--local-dir", FOLDER])


def _name(record: ReportRecord) -> str:
    return str(record.model["name"])


def _weights(record: ReportRecord) -> list[str]:
    """Return what names the weights; and the recipe, where it was named and not chosen."""
    found, recipe = _where(record.model["origin"]), _recipe(record)
    return [*(["--weights", found] if found else []), *(["--recipe", recipe] if recipe else [])]


def _recipe(record: ReportRecord) -> str | None:
    """Return the recipe that was named; None where it was chosen, as it is again without a word."""
    recipe = str(record.model["recipe"])
    return None if recipe in {choice["value"] for choice in record.model.get("choices") or ()} else recipe


def _where(source: dict[str, Any]) -> str | None:
    """Return what ``--weights`` takes; of a path its last part, for the rest is of the machine it ran on."""
    kind = source["kind"]
    if kind == "seed":
        return f"seed:{source.get('seed')}"
    if kind == "hub":
        return FOLDER
    if kind == "modelscope":
        return f"modelscope:{source.get('repo')}"
    return str(source.get("path") or FOLDER).replace("\\", "/").rstrip("/").rpartition("/")[2] or FOLDER


def _place(record: ReportRecord) -> list[str]:
    candidate = record.trial.candidate
    device = str(candidate.device.get("name", "cpu"))
    return ["--device", device, "--runtime", candidate.runtime, "--dtype", candidate.dtype]


def _inputs(record: ReportRecord) -> list[str]:
    inputs = record.trial.inputs
    if inputs.kind == "random" and inputs.seeds:
        return ["--seeds", ",".join(map(str, inputs.seeds))]
    return ["--images", PHOTOS] if inputs.kind == "images" else []


def _python(record: ReportRecord) -> str:
    where, recipe = _where(record.model["origin"]), _recipe(record)
    weights = (f", weights={_quoted(where)}" if where else "") + (f", recipe={_quoted(recipe)}" if recipe else "")
    candidate = record.trial.candidate
    place = {"device": str(candidate.device.get("name", "cpu")), "runtime": candidate.runtime, "dtype": candidate.dtype}
    named = ", ".join(f"{key}={_quoted(value)}" for key, value in place.items())
    return "\n".join(
        (
            "import snellen",
            "",
            f"model = snellen.load({_quoted(_name(record))}{weights})",
            'vectors = model.embed(["photo.jpg"])',
            f"print(vectors.shape)  # (1, {record.facts.width})",
            f"record = snellen.verify(model, {named})",
            "print(record.verdict.outcome, record.verdict.because)",
        )
    )


def _quoted(text: str) -> str:
    """Write a string as Python does, in the quotes that formatters choose."""
    return json.dumps(text, ensure_ascii=False)
