"""``snellen bench``: what it hands over, what goes to stdout, stderr and files, and how it exits."""

from __future__ import annotations

import dataclasses
import inspect
import json
from types import SimpleNamespace

import pytest

from fakes import picture
from report_records import cpu_example, example
from snellen.benchmark import asked as core
from snellen.benchmark import compare
from snellen.cli import bench as command
from snellen.cli.bench import Asked, batches, bench, exit_code
from snellen.cli.main import main
from snellen.errors import UnknownName, UsageError
from snellen.records.bench import MODES, Point
from snellen.records.reports import read_bench, read_compare


@pytest.fixture
def benches(monkeypatch) -> SimpleNamespace:
    """Put fakes in the place of the model and the measurement; what was asked of them is kept."""
    import snellen.benchmark.bench
    import snellen.model.loading

    seen = SimpleNamespace(record=cpu_example().bench, loaded=[], asked=[])

    def measure(model, **settings):
        seen.asked.append((model, settings))
        settings["progress"]("batch 1: warming up")
        return seen.record

    monkeypatch.setattr(snellen.benchmark.bench, "bench", measure)
    monkeypatch.setattr(
        snellen.model.loading, "load", lambda name, **settings: seen.loaded.append((name, settings)) or "model"
    )
    return seen


def run(*arguments: str) -> int:
    return bench.main(list(arguments), standalone_mode=False)


def outcomes(*names: str):
    """Return a measurement whose batch sizes ended so."""
    measured = cpu_example().bench.points[0]
    points = [
        dataclasses.replace(measured, batch=2**number)
        if name == "measured"
        else Point(batch=2**number, outcome=name, because="it says so")
        for number, name in enumerate(names)
    ]
    return dataclasses.replace(cpu_example().bench, points=tuple(points), files=None, baseline=None)


def test_what_is_asked_has_a_field_for_each_parameter() -> None:
    assert {parameter.name for parameter in bench.params} == {field.name for field in dataclasses.fields(Asked)}


def test_the_defaults_are_those_of_the_function() -> None:
    from snellen.benchmark.bench import bench as function

    given = inspect.signature(function).parameters
    assert batches(command.BATCHES) == core.BATCHES == tuple(given["batch_sizes"].default)
    assert command.MAX == core.MAX
    assert given["seconds"].default == command.SECONDS
    assert given["mode"].default == MODES[0]
    assert command.THRESHOLD == compare.THRESHOLD


def test_what_was_asked_is_handed_over(benches, tmp_path) -> None:
    images = [picture(tmp_path / f"{name}.png", 9) for name in "ab"]
    model = ("--weights", "seed:1", "--recipe", "r")
    assert run("name", *model, "-b", "8", "--mode", "files", "--images", str(tmp_path), "--runtime", "eager") == 0
    assert benches.loaded == [("name", {"weights": "seed:1", "recipe": "r"})]
    (given, settings) = benches.asked[0]
    settings.pop("progress")
    assert settings.pop("load_s") >= 0
    assert given == "model"
    assert settings == {
        "batch_sizes": (8,),
        "device": "cpu",
        "runtime": "eager",
        "dtype": "float32",
        "mode": "files",
        "seconds": 2.0,
        "baseline": None,
        "images": images,
        "seed": 0,
    }
    assert run("name", "-b", "max", "--baseline", "cpu", "--seconds", "0.5", "--dtype", "bfloat16") == 0
    settings = benches.asked[1][1]
    assert (settings["batch_sizes"], settings["baseline"], settings["images"]) == ("max", "cpu", None)
    assert (settings["seconds"], settings["dtype"], settings["runtime"]) == (0.5, "bfloat16", None)
    assert run("name", "-b", "8,1,8") == 0
    assert benches.asked[2][1]["batch_sizes"] == (1, 8)
    assert run("name", "--mode", "files") == 0  # its own batch size, where none is named


def test_tables_go_to_stdout_and_talk_to_stderr(benches, capsys) -> None:
    assert run("name") == 0
    said = capsys.readouterr()
    assert "batch 1: warming up" in said.err
    assert said.out.startswith("RANDOM PIXELS")
    assert "latency of a batch, in ms" in said.out
    assert max(map(len, said.out.splitlines())) <= 100
    assert run("name", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_json_is_one_document_that_reads_back(benches, capsys) -> None:
    benches.record = example().bench
    assert run("name", "--json", "--quiet") == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert next(iter(document)) == "SIMULATED"
    assert read_bench(document) == benches.record


def test_a_file_takes_the_place_of_stdout(benches, capsys, tmp_path) -> None:
    path = tmp_path / "bench.json"
    assert run("name", "-o", str(path)) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "latency of a batch, in ms" in said.err
    assert f"written to {path}" in said.err
    assert read_bench(json.loads(path.read_text())).points == benches.record.points


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("measured",), 0),
        (("measured", "out of memory", "not tried"), 0),  # the end of memory was looked for
        (("measured", "raised"), 1),
        (("out of memory",), 3),
        (("raised", "not tried"), 3),
    ],
)
def test_what_came_out_is_the_exit_code(benches, capsys, names, code) -> None:
    benches.record = outcomes(*names)
    assert exit_code(benches.record) == code
    assert run("name") == code
    capsys.readouterr()
    assert run("name", "--json", "--quiet") == code
    assert bool(capsys.readouterr().err) == bool(code)  # what is bad is said to whoever wants nothing else


def test_what_cannot_be_is_refused_before_anything_is_loaded(benches, tmp_path) -> None:
    for text in ("0", "", "1,,2", "-1", "1.5", "many", "1234567", "²"):
        with pytest.raises(UsageError, match="batch sizes"):
            run("name", f"--batch-size={text}")
    for seconds in ("0", "nan", "-1", "inf"):
        with pytest.raises(UsageError, match=r" s for each batch size"):
            run("name", "--seconds", seconds)
    for text in ("1,8", "max"):
        with pytest.raises(UsageError, match=f"--batch-size is {text}"):
            run("name", "--mode", "files", "-b", text)
    with pytest.raises(UsageError, match="no model"):
        run("--seconds", "1")
    with pytest.raises(UnknownName, match="device"):
        run("name", "--device", "abacus")
    with pytest.raises(UnknownName, match="runtime"):
        run("name", "--runtime", "abacus")
    with pytest.raises(UsageError, match=r"ends in \.xml"):
        run("name", "-o", str(tmp_path / "bench.xml"))
    with pytest.raises(UsageError, match="mode latency"):
        run("name", "--images", picture(tmp_path / "a.png", 1))
    with pytest.raises(UsageError, match="cpu is not simulated"):
        run("name", "--simulate")
    for word in ("--again", "--threshold=0.1"):
        with pytest.raises(UsageError, match="without --compare"):
            run("name", word)
    assert benches.loaded == benches.asked == []


# ---- two records


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a measurement of something so many times as slow, and says where."""

    def save(name: str, times: float, **changes) -> str:
        record = dataclasses.replace(cpu_example().bench, **changes)
        points = tuple(
            dataclasses.replace(point, samples_ms=tuple(times * sample for sample in point.samples_ms))
            for point in record.points
        )
        path = tmp_path / name
        path.write_text(json.dumps(dataclasses.replace(record, points=points).to_dict()))
        return str(path)

    return save


def test_a_regression_is_exit_code_1(saved, capsys) -> None:
    old, new = saved("old.json", 1.0), saved("new.json", 1.3)
    assert run("--compare", old, new, "--quiet") == 1
    said = capsys.readouterr()
    assert said.err == ""  # it stands on stdout
    assert "slower at batch 1, 2, 4, 8" in " ".join(said.out.split())
    assert run("--compare", new, old) == 0
    assert "faster at batch" in capsys.readouterr().out
    assert run("--compare", old, new, "--threshold", "0.5") == 0
    assert run("--compare", old, old, "--threshold", "0.5") == 0
    assert "the same at batch" in capsys.readouterr().out


def test_a_comparison_is_one_document(saved, capsys, tmp_path) -> None:
    old, new = saved("old.json", 1.0), saved("new.json", 1.3)
    path = tmp_path / "compared.json"
    assert run("--compare", old, new, "--json", "--quiet", "-o", str(path)) == 1
    said = capsys.readouterr()
    assert "slower at batch" in said.err
    record = read_compare(json.loads(said.out))
    assert (record.first, record.second, record.exit_code) == (old, new, 1)
    assert read_compare(json.loads(path.read_text())) == record


def test_a_record_with_a_figure_missing_is_none(saved, tmp_path) -> None:
    good = saved("good.json", 1.0)
    document = json.loads((tmp_path / "good.json").read_text())
    del document["points"][0]["samples_ms"]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"points\[0\]\.samples_ms is missing"):
        run("--compare", good, str(bad))
    bad.write_text("{")
    with pytest.raises(UsageError, match="is no JSON"):
        run("--compare", good, str(bad))
    with pytest.raises(UsageError, match="cannot be read"):
        run("--compare", good, str(tmp_path / "gone.json"))
    assert main(["bench", "--compare", good, str(tmp_path / "gone.json")]) == 2


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (("name",), "MODEL and --compare"),
        (("-b", "1"), "--batch-size and --compare"),
        (("--simulate",), "--simulate and --compare"),
        (("--seconds", "3"), "--seconds and --compare"),
    ],
)
def test_what_belongs_to_a_measurement_is_refused_beside_a_comparison(saved, more, match) -> None:
    old = saved("old.json", 1.0)
    with pytest.raises(UsageError, match=match):
        run("--compare", old, old, *more)


def test_again_hands_over_both_records(saved, monkeypatch, capsys) -> None:
    old, new = saved("old.json", 1.0), saved("new.json", 1.2)
    calls = []

    def again(*records, **settings):
        calls.append((records, settings))
        settings["progress"]("round 1")
        return compare.compare(*records, names=settings["names"], threshold=settings["threshold"])

    monkeypatch.setattr(compare, "again", again)
    assert run("--compare", old, new, "--again", "--seconds", "0.5", "--threshold", "0.1") == 1
    assert capsys.readouterr().err == "round 1\n"
    ((records, settings),) = calls
    assert [record.points[0].samples_ms[0] for record in records] == pytest.approx(
        [cpu_example().bench.points[0].samples_ms[0] * times for times in (1.0, 1.2)]
    )
    assert (settings["seconds"], settings["threshold"], settings["names"]) == (0.5, 0.1, (old, new))
