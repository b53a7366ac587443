"""``report --check``: every contradiction is found by the check that is named for it and by no other, and none else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import report_records
from snellen.errors import UsageError
from snellen.records.checked import NAMES
from snellen.records.report import File
from snellen.report.card_markdown import markdown
from snellen.report.check import card, check_file, contradictions, record
from snellen.report.check.found import Findings
from snellen.report.check.samples import needed, percentile
from snellen.report.check.words import metric_of, unit_of, value_of
from snellen.report.checked import lines

BAD = Path(__file__).parent / "bad_cards"
EXAMPLES = {"example": report_records.example, "cpu_example": report_records.cpu_example}
CONTENTS = {"log.txt": b"it ran\n", "samples.csv": b"batch,ms\n1,150.0\n"}


@cache
def text(name: str) -> str:
    return json.dumps(EXAMPLES[name]().to_dict(), allow_nan=False)


def document(name: str = "cpu_example") -> dict[str, Any]:
    return json.loads(text(name))


def names(found: Findings) -> set[str]:
    return {one.name for one in found.card("", "report").contradictions}


def looked(found: Findings) -> set[str]:
    return set(found.card("", "report").looked)


def at(whole: Any, path: str) -> tuple[Any, Any]:
    """Return the container of a place and its key there: "bench.points.0.batch"."""
    *steps, last = path.split(".")
    for step in steps:
        whole = whole[int(step) if isinstance(whole, list) else step]
    return whole, int(last) if isinstance(whole, list) else last


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts ``value`` at a place, or what it makes of the value there."""

    def change(whole: dict[str, Any]) -> None:
        part, key = at(whole, path)
        part[key] = value(part[key]) if callable(value) else value

    return change


# ---- reports


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_report_without_a_mistake_has_none(name: str) -> None:
    found = record.check(document(name))
    assert contradictions(document(name)) == ()
    assert looked(found) >= set(NAMES) - {"files", "maximum"} - ({"ceiling"} if name == "example" else set())


def resampled(count: int) -> Callable[[dict[str, Any]], None]:
    """Return what makes a batch size one of so few samples, with every figure that follows, and keeps its p99."""

    def change(whole: dict[str, Any]) -> None:
        point = whole["bench"]["points"][0]
        made = json.loads(json.dumps(report_records.asdict(report_records.point(1, 80.0, count, queues=False))))
        made["latency"]["percentiles"][3]["ms"] = percentile(made["samples_ms"], 99)
        made["latency"]["percentiles"][3]["because"] = ""
        point |= made
        whole["bench"]["baseline"]["speedup"] |= {"1": 210.0 / 80.0}

    return change


def slowed(batch: int, ms: float) -> Callable[[dict[str, Any]], None]:
    """Return what leaves batch 1 and one other, which takes so long, on a device of which no ceiling is known."""

    def change(whole: dict[str, Any]) -> None:
        bench = whole["bench"]
        place = next(n for n, point in enumerate(bench["points"]) if point["batch"] == batch)
        made = report_records.point(batch, ms / batch, 60, queues=False)
        bench["points"] = [bench["points"][0], json.loads(json.dumps(report_records.asdict(made)))]
        theirs = percentile(bench["baseline"]["points"][place]["samples_ms"], 50)
        speedup = theirs / percentile(made.samples_ms, 50)
        for end, factor in (("", 1), ("_low", 0.97), ("_high", 1.03)):
            bench["baseline"][f"speedup{end}"][str(batch)] = factor * speedup
        for point in bench["points"]:
            point["ceiling_share"] = point["operations_per_s"] = None

    return change


def unsteady(whole: dict[str, Any]) -> None:
    """Sort the samples of a batch size and stretch the later ones, with every figure that follows but the verdict."""
    point = whole["bench"]["points"][0]
    samples = point["samples_ms"]
    half = len(samples) // 2
    samples[:] = [*samples[:half], *(1.5 * sample for sample in samples[half:])]
    made = json.loads(json.dumps(report_records.asdict(report_records.latency(samples))))
    made["percentiles"] = [{**p, "upper_ms": None} for p in made["percentiles"]]
    point["latency"] = made
    point["images_per_s"] = 1e3 * point["batch"] / made["mean_ms"]
    point["ceiling_share"] = point["operations_per_s"] = point["bytes_per_s"] = point["bandwidth_share"] = None
    middle = percentile(samples, 50)
    near = sum(abs(sample - middle) <= 0.05 * middle for sample in samples) / len(samples)
    first, second = percentile(samples[:half], 50), percentile(samples[half:], 50)
    point["stability"] |= {"first_half_p50_ms": first, "second_half_p50_ms": second, "near_share": near}
    theirs = percentile(whole["bench"]["baseline"]["points"][0]["samples_ms"], 50)
    for end in ("", "_low", "_high"):
        whole["bench"]["baseline"][f"speedup{end}"]["1"] = theirs / middle


def marked(whole: dict[str, Any]) -> None:
    del whole["SIMULATED"]


def unread(whole: dict[str, Any]) -> None:
    del whole["environment"]["python"]


def two_maxima(whole: dict[str, Any]) -> None:
    whole["seeds"].append({**whole["seeds"][0], "max_abs": 5.6e-3})


DAMAGE: dict[str, tuple[str, str, Callable[[dict[str, Any]], None]]] = {
    "a field is missing": ("form", "example", unread),
    "the mark is missing": ("simulated", "example", marked),
    "the bench says that it was hardware": ("simulated", "example", put("bench.device.simulated", False)),
    "a mark without a simulated device": ("simulated", "cpu_example", put("SIMULATED", "the device was simulated")),
    "drawn weights are said to be a hub's": ("weights", "example", put("trial.model.origin.kind", "hub")),
    "drawn weights have a repository": ("weights", "example", put("model.origin.repo", "facebook/dinov3")),
    "drawn weights have files": (
        "weights",
        "example",
        put("facts.files", [{"name": "model.safetensors", "bytes": 1 << 30, "sha256": None}]),
    ),
    "another model was measured": ("same", "cpu_example", put("bench.model.variant", "vit_base")),
    "other weights were counted": ("same", "cpu_example", put("facts.digest", "0" * 64)),
    "another device was measured": ("same", "cpu_example", put("bench.device.product", "Another Processor")),
    "another dtype was measured": (
        "same",
        "cpu_example",
        lambda whole: [
            put("bench.setup.dtype", "bfloat16")(whole),
            put("bench.weights_bytes", lambda b: b // 2)(whole),
        ],
    ),
    "a cosine above 1": ("cosine", "cpu_example", put("seeds.3.cosine", 1.000015)),
    "a cosine of an output above 1": ("cosine", "cpu_example", put("trial.outputs.0.single.cosine", 1.000057)),
    "a negative error": ("negative", "cpu_example", put("seeds.1.mean_abs", -1e-6)),
    "a negative time": ("negative", "cpu_example", put("seconds.bench", -3.0)),
    "no time at all": ("negative", "cpu_example", put("bench.start.prepare_s", -0.1)),
    "memory of 0": ("memory", "example", put("bench.points.1.memory.allocated_peak_bytes", 0)),
    "a machine without memory": ("memory", "cpu_example", put("bench.machine.memory_bytes", 0)),
    "a cosine that is blank": ("blank", "cpu_example", put("seeds.2.cosine", None)),
    "a batch size without a reason": ("blank", "example", put("bench.points.4.because", "")),
    "a percentile without a reason": (
        "blank",
        "cpu_example",
        put("bench.points.1.latency.percentiles.3.because", ""),
    ),
    "no command": ("blank", "cpu_example", put("command", " ")),
    "a mean above the largest": ("order", "cpu_example", put("evidence.outputs.0.mean", 9.0)),
    "a mean error above the largest": (
        "order",
        "cpu_example",
        put("trial.outputs.0.golden.rmse", lambda value: 100 * value),
    ),
    "a mean of other samples": ("samples", "cpu_example", put("bench.points.1.latency.min_ms", 140.0)),
    "a median of other samples": (
        "samples",
        "cpu_example",
        put("bench.points.3.latency.percentiles.0.ms", lambda value: 1.02 * value),
    ),
    "stable, of halves that differ": ("samples", "cpu_example", unsteady),
    "a half of other samples": (
        "samples",
        "cpu_example",
        put("bench.points.1.stability.first_half_p50_ms", lambda value: 3 * value),
    ),
    "a bound above every sample": (
        "order",
        "cpu_example",
        put("bench.points.0.latency.percentiles.1.upper_ms", lambda value: 3 * (value or 200.0)),
    ),
    "rounds of more samples than there are": ("samples", "cpu_example", put("bench.points.2.rounds", [40, 40])),
    "a ceiling of other samples": ("samples", "example", put("bench.ceiling.samples_s", [0.02])),
    "a p99 of 20 samples": ("percentile", "cpu_example", resampled(20)),
    "a throughput of another latency": (
        "throughput",
        "cpu_example",
        lambda whole: [
            put(f"bench.points.3.{name}", lambda value: 1.05 * value)(whole)
            for name in ("images_per_s", "operations_per_s", "ceiling_share")
        ],
    ),
    "a share of another ceiling": ("throughput", "cpu_example", put("bench.points.0.ceiling_share", 0.1)),
    "batch 8 takes as long as batch 1": ("batch", "cpu_example", slowed(8, 80.5)),
    "batch 2 takes less than batch 1": ("batch", "cpu_example", slowed(2, 60.0)),
    "a batch is larger than the largest": ("batch", "cpu_example", put("bench.largest_batch", 4)),
    "a speed-up of another latency": ("speedup", "cpu_example", put("bench.baseline.speedup.1", 74.66)),
    "a speed-up outside of its bounds": ("speedup", "cpu_example", put("bench.baseline.speedup_high.2", 2.0)),
    "a final of other rounds": ("speedup", "cpu_example", put("tune.final.ratio", 3.1)),
    "more operations than the ceiling": (
        "ceiling",
        "cpu_example",
        lambda whole: [
            put("bench.ceiling", {**whole["bench"]["ceiling"], "operations_per_s": 1e10, "samples_s": []})(whole),
            *(
                put(f"bench.points.{n}.ceiling_share", whole["bench"]["points"][n]["operations_per_s"] / 1e10)(whole)
                for n in range(4)
            ),
        ],
    ),
    "a pass of what fails": ("verdict", "example", put("trial.verdict.outcome", "pass")),
    "a pass of another rule": ("verdict", "example", put("trial.verdicts.0.outcome", "pass")),
    "another ratio": ("verdict", "cpu_example", put("trial.verdict.ratio", 0.01)),
    "a check that passed above its limit": ("verdict", "cpu_example", put("trial.checks.2.value", 0.5)),
    "a candidate that passed above its limit": ("verdict", "cpu_example", put("tune.trials.0.worst", 1.3)),
    "bytes for parameters": ("parameters", "cpu_example", put("facts.parameters", lambda count: 4 * count)),
    "a file smaller than its weights": ("parameters", "cpu_example", put("facts.files.0.bytes", 1_000_000)),
    "groups that do not add up": ("parameters", "cpu_example", put("facts.parameter_groups.blocks", 21_000_000)),
    "half of the weights were run": ("parameters", "cpu_example", put("bench.weights_bytes", lambda b: b // 2)),
    "tokens of another grid": ("shape", "cpu_example", put("facts.tokens", 201)),
    "an output of another width": ("shape", "cpu_example", put("evidence.outputs.0.shape", [1, 768])),
    "fewer patches than the grid": ("shape", "cpu_example", put("evidence.outputs.2.shape", [1, 196, 384])),
    "a map of another grid": ("shape", "cpu_example", put("evidence.maps.0.shape", [1, 384, 14, 14])),
    "elements of another shape": ("shape", "cpu_example", put("trial.outputs.1.golden.elements", 7)),
    "pixels of another size": ("shape", "cpu_example", put("bench.shape", [3, 224, 224])),
    "a picture of another grid": (
        "shape",
        "cpu_example",
        put("pca.0.golden_png", report_records.picture("RGB", (14, 14), "PNG")),
    ),
    "one seed with two errors": ("maximum", "cpu_example", two_maxima),
    "a largest error that no input has": (
        "maximum",
        "cpu_example",
        put("trial.outputs.1.images", lambda images: [{**one, "max_abs": one["mean_abs"]} for one in images]),
    ),
    "a file outside of the folder": ("files", "cpu_example", put("files.0.name", "../log.txt")),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_report_is_found_by_the_check_named_for_it(case: str, tmp_path: Path) -> None:
    name, example, damage = DAMAGE[case]
    whole = document(example)
    damage(whole)
    assert names(record.check(whole, tmp_path)) == {name}


def test_every_check_is_proven_to_find_something() -> None:
    assert {name for name, _, _ in DAMAGE.values()} == set(NAMES)


@pytest.mark.parametrize("whole", [None, [], 3, "card", {}, {"schema": "snellen.report/1"}, {"bench": {"points": 4}}])
def test_what_is_no_report_is_said_to_be_none(whole: object) -> None:
    assert names(record.check(whole)) == {"form"}


@pytest.mark.parametrize("wrong", [None, "text", -1, 10**400, float("nan"), [], {}, [None], {"a": 1}, True])
def test_a_document_with_anything_anywhere_is_read_without_an_error(wrong: object) -> None:
    places = ("trial", "bench.points", "bench.points.0.latency", "bench.points.1.samples_ms", "facts.grid", "seeds.0")
    places += ("bench.points.2.batch", "trial.outputs.0.shape", "pca.0.golden_png", "facts.stored", "files.0.name")
    whole = document()
    for place in reversed(places):
        put(place, wrong)(whole)
    assert "form" in names(record.check(whole))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a report that names two files, and the files."""
    files = tuple(File(name=n, bytes=len(b), sha256=hashlib.sha256(b).hexdigest()) for n, b in CONTENTS.items())
    whole = replace(report_records.cpu_example(), files=files)
    (tmp_path / "report.json").write_text(json.dumps(whole.to_dict()))
    for name, contents in CONTENTS.items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "README.md").write_text(markdown(whole, "en"), encoding="utf-8")
    return tmp_path


def test_the_files_beside_a_report_are_those_it_names(folder: Path) -> None:
    found = check_file(folder / "report.json")
    assert found.contradictions == ()
    assert found.looked["files"] == 8  # two names, and of both that it is there, its size, its digest


@pytest.mark.parametrize(
    ("contents", "places"),
    [
        (b"it rxn\n", ["files[0].sha256"]),
        (b"it ran twice\n", ["files[0].bytes", "files[0].sha256"]),
        (None, ["files[0].name"]),
    ],
)
def test_another_file_beside_a_report_is_found(folder: Path, contents: bytes | None, places: list[str]) -> None:
    if contents is None:
        (folder / "log.txt").unlink()
    else:
        (folder / "log.txt").write_bytes(contents)
    found = check_file(folder / "report.json").contradictions
    assert [one.place for one in found] == places
    assert {one.name for one in found} == {"files"}


def test_a_report_alone_has_no_files_to_look_at(folder: Path) -> None:
    for name in CONTENTS:
        (folder / name).unlink()
    found = check_file(folder / "report.json")
    assert found.contradictions == ()
    assert any(one.name == "files" for one in found.unchecked)


def test_what_rests_on_figures_that_cannot_be_is_not_judged() -> None:
    whole = document()
    whole["trial"]["outputs"][0]["golden"]["cosine"] = 2
    found = record.check(whole).card("", "report")
    assert [one.place for one in found.contradictions] == ["trial.outputs[0].golden.cosine"]
    assert [one.places for one in found.unchecked if one.name == "verdict"] == [("trial.outputs",)]


def test_a_stream_is_not_held_to_the_latency_of_a_batch() -> None:
    whole = document()
    whole["bench"]["mode"] = "throughput"
    for point in whole["bench"]["points"]:
        for name in ("images_per_s", "operations_per_s", "ceiling_share"):
            point[name] *= 1.05
    found = record.check(whole).card("", "report")
    assert found.contradictions == ()
    assert any(one.name == "throughput" for one in found.unchecked)


@pytest.mark.parametrize("excuse", ["host_bound", "ceiling_share"])
def test_a_device_that_waits_for_the_host_or_is_half_idle_may_take_a_larger_batch_in_the_same_time(excuse) -> None:
    whole = document()
    slowed(8, 80.5)(whole)
    assert names(record.check(whole)) == {"batch"}
    for point in whole["bench"]["points"]:
        point[excuse] = True if excuse == "host_bound" else 0.2
    assert "batch" not in names(record.check(whole))


@pytest.mark.parametrize(("percent", "least"), [(50, 1), (90, 44), (95, 90), (99, 459)])
def test_so_many_samples_support_a_percentile(percent: float, least: int) -> None:
    assert needed(percent) == least
    if percent > 50:
        assert (percent / 100) ** least <= 0.01 < (percent / 100) ** (least - 1)


# ---- Markdown

FOUND = {
    "cosine.md": ("cosine", [8]),
    "percentile.md": ("percentile", [7]),
    "batch.md": ("batch", [6]),
    "verdict-row.md": ("verdict", [7]),
    "verdict-line.zh.md": ("verdict", [5]),
    "verdict-conclusion.md": ("verdict", [12]),
    "verdict-sign.md": ("verdict", [3]),
    "maximum.md": ("maximum", [11]),
    "parameters.md": ("parameters", [5]),
    "blank.md": ("blank", [5]),
    "throughput.md": ("throughput", [6]),
    "speedup.md": ("speedup", [8]),
    "memory.zh.md": ("memory", [5]),
    "negative.md": ("negative", [5]),
    "order.md": ("order", [5]),
    "ceiling.md": ("ceiling", [6]),
    "shape.md": ("shape", [7]),
    "simulated.md": ("simulated", [1]),
    "weights.md": ("weights", [5]),
}
"""Each bad card: the one check that finds its mistake, and the lines it names."""


@pytest.mark.parametrize("name", FOUND)
def test_a_bad_card_is_found_by_the_check_named_for_it(name: str) -> None:
    check, places = FOUND[name]
    found = check_file(BAD / name).contradictions
    assert [(one.name, one.place) for one in found] == [(check, f"line {line}") for line in places]


def test_every_bad_card_has_its_row() -> None:
    assert {path.name for path in BAD.iterdir()} == {*FOUND, "clean.md", "clean.zh.md"}
    assert {name for name, _ in FOUND.values()} == set(NAMES) - {"form", "same", "samples", "files"}


@pytest.mark.parametrize("name", ["clean.md", "clean.zh.md"])
def test_a_good_card_of_somebody_else_has_no_contradiction(name: str) -> None:
    found = check_file(BAD / name)
    assert found.contradictions == ()
    assert set(found.looked) >= {"cosine", "order", "throughput", "batch", "verdict", "blank", "percentile"}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_our_own_cards_have_no_contradiction(name: str, lang: str) -> None:
    found = card.check(markdown(EXAMPLES[name](), lang)).card("README.md", "markdown")
    assert found.contradictions == ()
    assert set(found.looked) >= {"cosine", "order", "percentile", "throughput", "batch", "speedup", "parameters"}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("name", "other"), [("example", "cpu_example"), ("cpu_example", "example")])
def test_our_own_cards_beside_each_other_have_no_contradiction(name: str, other: str, lang: str) -> None:
    found = card.check(markdown(EXAMPLES[name](), lang, EXAMPLES[other]()))
    assert found.card("README.md", "markdown").contradictions == ()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("cosine", "seeds.0.cosine", 1.000015),
        ("percentile", "bench.points.1.latency.percentiles.3.ms", 164.79),
        ("throughput", "bench.points.2.images_per_s", 31.0),
        ("speedup", "bench.baseline.speedup.4", 74.66),
        ("memory", "bench.points.0.memory.process_peak_bytes", 0),
        ("parameters", "facts.parameters", 86_380_000),
        ("shape", "facts.tokens", 201),
        ("order", "bench.points.2.latency.min_ms", 400.0),
        ("verdict", "trial.verdicts.1.outcome", "fail"),
    ],
)
def test_a_mistake_in_our_own_card_is_found_in_its_text_too(name, path, value, lang) -> None:
    whole = document()
    put(path, value)(whole)
    text = markdown(damaged(whole), lang)
    assert names(card.check(text)) == {name}


def damaged(whole: dict[str, Any]) -> Any:
    """Return a record of a document that no reader would take."""
    from snellen.records import reading, report

    kept = reading._check_sizes
    reading._check_sizes = lambda values, at: None
    try:
        return reading.read(report.ReportRecord, {k: v for k, v in whole.items() if k != "schema"})
    finally:
        reading._check_sizes = kept


def test_the_first_lines_of_a_card_say_what_its_report_says(folder: Path) -> None:
    whole = document("example")
    text = markdown(report_records.example(files=()), "en")
    (folder / "report.json").write_text(json.dumps(whole))
    (folder / "README.md").write_text(text, encoding="utf-8")
    assert check_file(folder / "README.md").contradictions == ()
    body = text.split("\n# ", 1)[1]
    silent = [line for line in body.splitlines() if "simulat" not in line.lower() and "drawn" not in line.lower()]
    (folder / "README.md").write_text("# " + "\n".join(silent), encoding="utf-8")
    assert {one.name for one in check_file(folder / "README.md").contradictions} >= {"simulated", "weights"}


def test_random_inputs_are_said_first(folder: Path) -> None:
    whole = document()
    whole["trial"]["inputs"]["kind"] = "random"
    (folder / "report.json").write_text(json.dumps(whole))
    found = check_file(folder / "README.md").contradictions
    assert [one.name for one in found] == ["simulated"]
    assert "random" in found[0].seen


def test_files_that_a_card_lists_are_looked_at(folder: Path) -> None:
    given = hashlib.sha256(CONTENTS["log.txt"]).hexdigest()
    text = f"# A card\n\n| file | bytes | sha256 |\n|---|--:|---|\n| `log.txt` | 7 | {given} |\n"
    path = folder / "other.md"
    path.write_text(text)
    assert check_file(path).contradictions == ()
    path.write_text(text.replace("| 7 |", "| 8 |"))
    assert [(one.name, one.place) for one in check_file(path).contradictions] == [("files", "line 5")]
    path.write_text(text.replace(given, "0" * 64))
    assert [(one.name, one.place) for one in check_file(path).contradictions] == [("files", "line 5")]
    path.write_text(text.replace("`log.txt`", "../other/log.txt"))
    assert check_file(path).contradictions == ()


COLUMNS = """# A card

20 runs

| 指标 | NPU | CPU |
|---|--:|--:|
| 平均延迟 | 8.756 ms | 653.718 ms |
| P99 | 9.335 ms | - |

加速比: 74.66x
"""


def test_cases_may_stand_in_columns() -> None:
    found = card.check(COLUMNS).card("", "markdown")
    assert [(one.name, one.place) for one in found.contradictions] == [("percentile", "line 8")]
    assert found.looked["speedup"] == 1
    assert names(card.check(COLUMNS.replace("74.66", "142"))) == {"percentile", "speedup"}


def test_samples_that_are_said_to_be_unstable_are_not_held_against_each_other() -> None:
    text = (BAD / "batch.md").read_text()
    said = "\n| batch | stable |\n|--:|---|\n| 1 | yes |\n| 4 | {} |\n"
    assert names(card.check(text + said.format("yes"))) == {"batch"}
    found = card.check(text + said.format("no")).card("", "markdown")
    assert found.contradictions == ()
    assert any(one.name == "batch" for one in found.unchecked)
    whole = document()
    slowed(8, 80.5)(whole)
    for point in whole["bench"]["points"]:
        point["stability"]["stable"] = False
    assert names(record.check(whole)) == set()


def test_a_speedup_may_lie_anywhere_between_its_bounds() -> None:
    head = "| batch | CPU p50, ms | p50, ms | times as fast | at least | at most |"
    text = f"# A card\n\n{head}\n|--:|--:|--:|--:|--:|--:|\n"
    row = "| 1 | 100.0 | 50.0 | {} | {} | {} |\n"
    assert names(card.check(text + row.format("2.0", "1.9", "2.1"))) == set()
    assert names(card.check(text + row.format("2.4", "1.5", "3.1"))) == set()
    assert names(card.check(text + row.format("2.4", "2.3", "2.5"))) == {"speedup"}
    assert names(card.check(text + row.format("24", "1.5", "3.1"))) == {"speedup"}


def test_what_cannot_be_told_is_not_guessed() -> None:
    text = "# A card\n\n| batch | latency | images/s |\n|--:|--:|--:|\n| 1 | 12 | 1 |\n\np99: 12.5 ms\n\nspeed-up: 3x\n"
    found = card.check(text).card("", "markdown")
    assert found.contradictions == ()
    assert {one.name for one in found.unchecked} >= {"throughput", "percentile", "speedup", "parameters", "weights"}


def test_a_card_that_says_nothing_is_inconclusive() -> None:
    assert card.check("# A card\n\nIt is fast.\n").card("", "markdown").exit_code == 3
    assert card.check("# A card\n\ncosine 0.5\n").card("", "markdown").exit_code == 0
    assert card.check("# A card\n\ncosine 1.5\n").card("", "markdown").exit_code == 1


@pytest.mark.parametrize(
    ("label", "metric"),
    [
        ("p99 (ms)", "p99_ms"),
        ("P90(ms)", "p90_ms"),
        ("p50_ms", "p50_ms"),
        ("平均延迟(ms)", "mean_ms"),
        ("中位数", "p50_ms"),
        ("max_abs_diff", "max_abs"),
        ("Max absolute error", "max_abs"),
        ("最大绝对误差", "max_abs"),
        ("mean abs diff", "mean_abs"),
        ("cosine similarity", "cosine"),
        ("余弦相似度", "cosine"),
        ("1 - cosine", None),
        ("1 - mean cosine of a token", None),
        ("吞吐量(张/秒)", "throughput"),
        ("images/s", "throughput"),
        ("img/s", "throughput"),
        ("Batch size", "batch"),
        ("批大小", "batch"),
        ("latency per image", None),
        ("参数量", "parameters"),
        ("阈值", "limit"),
        ("显存(MB)", "memory"),
        ("加速比", "speedup"),
        ("warm-up runs", None),
        ("notes", None),
        ("设备", None),
    ],
)
def test_labels_are_known_by_their_words(label: str, metric: str | None) -> None:
    assert metric_of(label) == metric


@pytest.mark.parametrize(
    ("text", "number", "half"),
    [
        ("22.9 ms", 22.9, 0.05),
        ("**1,234**", 1234, 0.5),
        ("1.34e-3", 1.34e-3, 5e-6),
        ("1.2×10⁻³", 1.2e-3, 5e-5),
        ("0.35 %", 0.0035, 5e-5),
        ("约 142 倍", 142, 0.5),
        ("1.15 GiB", 1.15 * 2**30, 0.005 * 2**30),
        ("309.2 M", 309.2e6, 5e4),
        ("11.12 ± 0.3 ms", 11.12, 0.005),
    ],
)
def test_numbers_are_read_as_they_are_printed(text: str, number: float, half: float) -> None:
    value = value_of(text)
    assert value is not None
    assert (value.scaled().number, value.scaled().half) == (pytest.approx(number), pytest.approx(half))


@pytest.mark.parametrize("text", ["", "-", "n/a", "two", "11.1 (89.9) and more, later", "v1.2.3", "[1, 384]"])
def test_what_is_no_number_is_not_read(text: str) -> None:
    value = value_of(text)
    assert value is None or text.startswith("11.1")


def test_units_of_headers() -> None:
    assert unit_of("latency (ms)") == unit_of("p50, ms") == unit_of("平均延迟(ms)") == unit_of("mean_ms") == "ms"
    assert unit_of("error (%)") == "%"
    assert unit_of("batch") is None
    assert unit_of("images") is None


# ---- files and lines


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("card.pdf", b"", "no card"),
        ("card.json", b"{", "no JSON"),
        ("card.md", b"\xff\xfe\x00", "no UTF-8"),
        ("absent.md", None, "cannot be read"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, name: str, contents: bytes | None, message: str) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(UsageError, match=message):
        check_file(tmp_path / name)


def test_a_line_for_each_contradiction() -> None:
    found = list(lines(check_file(BAD / "cosine.md")))
    assert found[0] == "cosine.md: line 8: cosine: 1.000015; expected: from -1 to 1"
    assert found[-1].startswith("cosine.md: 1 contradiction; looked at ")
    assert any(line.startswith("cosine.md: not checked, ") for line in found)
    assert not any("not checked" in line for line in lines(check_file(BAD / "cosine.md"), brief=True))


@pytest.mark.parametrize("percent", [-50, 0, 100, 150])
def test_a_percentile_that_cannot_be_is_told_and_ends_no_check(percent: int) -> None:
    whole = document()
    put("bench.points.0.latency.percentiles.0.percent", percent)(whole)
    found = [one for one in contradictions(whole) if one.name == "percentile"]
    assert [one.seen for one in found] == [f"p{percent}"]
