"""What cards say, before it is written down: figures, sentences of rules, commands, two reports side by side."""

import ast
import json
import shlex
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest

import report_records
from card_cases import changed, hostile
from card_parts import blocks
from report_records import cpu_example, example
from snellen.cli.main import main
from snellen.errors import UnknownName
from snellen.records.report import ReportRecord
from snellen.records.trials import read_trial
from snellen.records.verify import Metrics
from snellen.report.card_markdown import markdown
from snellen.report.phrases import (
    LANGS,
    phrase,
)
from snellen.report.sections import Code, Name, Points, Quote, sections
from snellen.report.sections import figures as f
from snellen.report.sections.common import needed
from snellen.report.sections.findings import finding, judged
from snellen.report.sections.tensors import METRICS

TRIAL = Path(__file__).parents[1] / "examples" / "trial.json"


def test_figures_have_the_digits_they_need() -> None:
    assert f.number(0.27) == "0.2700"
    assert f.number(2.8e-4) == "2.800e-4"
    assert f.number(1234.567) == "1,235"
    assert f.ms(1234.567) == "1234.6"
    assert (f.number(None), f.number(0.0)) == ("-", "0")
    assert f.distance(1 - 2**-30) == "9.313e-10"


def test_a_figure_and_its_limit_never_look_equal() -> None:
    assert f.apart(0.0099999, 0.01) == ("0.0099999", "0.010000")
    near = f.apart(1.0000000001, 1.0)
    assert near[0] != near[1]
    assert f.apart(0.5, 0.5) == ("0.5000", "0.5000")
    assert f.number(0.0099999) == f.number(0.01)  # what it would look like otherwise


def test_every_metric_of_a_record_is_shown() -> None:
    shown = {name for name, _ in METRICS}
    assert {field.name for field in fields(Metrics)} <= shown


def test_what_changes_in_the_record_changes_in_the_card() -> None:
    record = example()
    faster = replace(record.bench, points=(report_records.point(1, 77.0, 500),))
    for lang in LANGS:
        assert "77.0" not in markdown(record, lang)
        assert "77.0" in markdown(example(bench=faster), lang)


def test_unsupported_percentiles_are_a_dash_with_a_reason() -> None:
    record = example()
    table = next(t for s in sections(record) for t in s.tables if t.key == "latency")
    p99 = [column.key for column in table.header].index("column.p99")
    assert [row[p99] for row in table.rows] == [
        row if number == 0 else "-" for number, row in enumerate([table.rows[0][p99]] * 4)
    ]
    assert table.rows[0][p99] != "-"
    told = [note.values for note in table.notes if note.key == "below.percentile"]
    assert {"percent": "p99", "found": "2 (60), 4 (30), 8 (30)", "needed": "459"} in told
    assert {"percent": "p90", "found": "4 (30), 8 (30)", "needed": "44"} in told


def test_samples_needed_are_those_of_the_measurement() -> None:
    from snellen.timing import statistics

    for percent in (50, 90, 95, 99):
        assert needed(percent) == statistics.needed(percent)


# ---- sentences of the rules


def test_figures_of_rules_are_read_back() -> None:
    record = example().trial
    published = [verdict for verdict in record.verdicts if verdict.rule != "calibrated"]
    assert len(published) == 8
    for verdict in published:
        assert judged(verdict.because) is not None, verdict.because
    place = judged("cls of a: b.jpg: mean absolute error is 0.0001623, within the limit (below 0.01)")
    assert place is not None
    assert (place.place, place.metric, place.value, place.limit) == ("cls of a: b.jpg", "mean_abs", "0.0001623", "0.01")


def test_a_record_of_a_real_run_is_read_back() -> None:
    trial = read_trial(json.loads(TRIAL.read_text(encoding="utf-8")))
    for verdict in trial.verdicts:
        sentences = verdict.findings if verdict.rule == "calibrated" else (verdict.because, *verdict.findings)
        unread = [sentence for sentence in sentences if finding(sentence) is None]
        assert [one for one in unread if "report 5 shows" not in one and "no logits" not in one] == []
    for lang in LANGS:
        text = blocks(markdown(example(trial=trial), lang))[phrase(lang, "section.accuracy")]
        assert f.number(trial.outputs[0].golden.max_abs) in text


def test_in_a_stream_there_is_no_latency() -> None:
    stream = changed(example(), "bench", mode="throughput")
    for lang in LANGS:
        for key in ("fact.latency", "fact.throughput"):
            here, there = (
                blocks(markdown(record, lang))[phrase(lang, "section.summary")] for record in (example(), stream)
            )
            assert phrase(lang, key) in here
            assert (phrase(lang, key) in there) == (key == "fact.throughput")


def test_the_calibrated_findings_are_read_back() -> None:
    verdict = example().trial.verdict
    assert verdict is not None
    readable = [finding(sentence) for sentence in verdict.findings]
    assert next(one.key for one in readable if one is not None) == "finding.output.times"
    assert any(one is not None and one.key == "finding.explains" for one in readable)


def test_any_other_sentence_is_quoted() -> None:
    assert finding("the moon is full") is None
    record = example().trial
    assert record.verdict is not None
    odd = replace(record, verdict=replace(record.verdict, findings=("the moon is full",)))
    parts = next(s for s in sections(example(trial=odd)) if s.key == "accuracy").parts
    assert any(isinstance(part, Quote) and "the moon is full" in part.sentences for part in parts)
    assert not any(isinstance(part, Points) for part in parts)


# ---- commands


def commands(record: ReportRecord) -> list[list[str]]:
    """Return the words of every snellen command of a card."""
    codes = (part for section in sections(record) for part in section.parts if isinstance(part, Code))
    lines = [line for code in codes if code.language == "sh" for line in code.text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("snellen ")]


def context(line: list[str]) -> click.Context:
    """Parse a command as the command line does, and run nothing."""
    from snellen.cli.main import Commands

    group = Commands("snellen")
    command = group.get_command(click.Context(group), line[0])
    assert command is not None
    return command.make_context(line[0], line[1:])


@pytest.mark.parametrize("record", [example(), cpu_example()], ids=("npu", "cpu"))
def test_the_commands_of_a_card_are_understood(record: ReportRecord) -> None:
    found = commands(record)
    assert {command[0] for command in found} == {"embed", "verify", "bench", "card"}
    for command in found:
        assert context(command).params


def test_a_command_with_an_unknown_option_is_not() -> None:
    with pytest.raises(click.UsageError):
        context(["verify", "m", "--no-such-option"])
    assert main is not None


def test_the_commands_are_those_of_the_record() -> None:
    lines = {found[0]: found for found in commands(cpu_example())}
    assert lines["bench"][2:4] == ["-b", "1,2,4,8"]
    assert "weights" in lines["verify"]
    assert "openvino" in lines["verify"]
    assert "seed:0" in next(found for found in commands(example()) if found[0] == "embed")


def test_a_recipe_that_was_named_is_named_again() -> None:
    named = cpu_example(model={**cpu_example().model, "choices": []})
    for found in commands(named):
        assert found[0] == "card" or found[found.index("--recipe") + 1] == named.model["recipe"]
        assert context(found).params
    assert f'recipe="{named.model["recipe"]}"' in markdown(named, "en")
    assert not any("--recipe" in found for found in commands(cpu_example()))


def test_lines_of_python_are_python() -> None:
    for record in (example(), cpu_example(), hostile()):
        code = next(p for s in sections(record) for p in s.parts if isinstance(p, Code) and p.language == "python")
        ast.parse(code.text)


# ---- side by side


def test_two_reports_stand_side_by_side() -> None:
    found = next(s for s in sections(example(), cpu_example()) if s.key == "compared")
    speed = next(table for table in found.tables if table.key == "compared_speed")
    assert [row[0] for row in speed.rows] == ["1", "2", "4", "8"]
    mine, theirs = (record.bench.points[0].latency for record in (example(), cpu_example()))
    assert mine is not None
    assert theirs is not None
    assert speed.rows[0][3] == f.number(mine.p50_ms / theirs.p50_ms)
    versions = next(table for table in found.tables if table.key == "compared_versions")
    assert (Name("CANN"), Name("8.3.RC1"), "-") in versions.rows
    assert not any(section.key == "compared" for section in sections(example()))


def test_what_cannot_be_compared_is_said() -> None:
    other = cpu_example(facts=replace(cpu_example().facts, digest="00"))
    for lang in LANGS:
        assert phrase(lang, "compared.weights") in markdown(example(), lang, other)
        assert phrase(lang, "compared.weights") not in markdown(example(), lang, cpu_example())


# ---- the room


def test_cards_need_neither_torch_nor_numpy() -> None:
    rooms = "snellen.report.card_markdown, snellen.report.card_terminal"
    program = f"import {rooms}, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "snellen.report.sections" in loaded
    assert not loaded & {"torch", "numpy", "openvino", "PIL", "pyarrow"}


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownName):
        markdown(example(), "fr")


def test_a_verdict_without_a_ratio_is_concluded_without_one() -> None:
    record = example()
    verdict = replace(record.trial.verdict, ratio=None, precision=None)
    told = next(
        s for s in sections(replace(record, trial=replace(record.trial, verdict=verdict))) if s.key == "conclusion"
    )
    keys = str(told)
    assert "conclusion.unrated" in keys
    assert "conclusion.fail" not in keys
    assert "conclusion.unrated" not in str(next(s for s in sections(record) if s.key == "conclusion"))
