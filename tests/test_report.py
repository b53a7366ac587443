"""Reports on a terminal and as JUnit XML: nothing too wide, nothing left out, nothing better than it was."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import trial_records
from snellen.records.verify import Check, SwitchRecord
from snellen.report import junit, terminal
from snellen.report.plots import LogAxis
from snellen.report.text import Column, cells, clip, cosine, figure, table, wrapped

WIDTHS = (80, 100, 120)


def report(name: str, width: int = 100) -> str:
    return terminal.trial(trial_records.ALL[name](), width)


def section(text: str, title: str) -> list[str]:
    """Return the lines of one section."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    return lines[start + 1 : lines.index("", start)] if "" in lines[start:] else lines[start + 1 :]


# ---- terminal


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", trial_records.ALL)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(name, width) -> None:
    text = report(name, width)
    assert max(map(cells, text.splitlines())) <= width
    assert "…" not in text
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_terminal_that_is_too_narrow_cuts_but_does_not_overflow(width) -> None:
    for name in trial_records.ALL:
        assert max(map(cells, report(name, width).splitlines())) <= width


def test_a_simulated_device_is_named_in_the_first_line() -> None:
    assert report("simulated").splitlines()[0] == (
        "SIMULATED: the device was simulated; these figures say nothing about hardware"
    )
    assert all("SIMULATED" not in report(name) for name in trial_records.ALL if name != "simulated")


OUTCOMES = {
    "passing": "PASS",
    "failing": "FAIL",
    "lowered": "FAIL",
    "nonfinite": "FAIL",
    "limited": "LIMITED",
    "inconclusive": "INCONCLUSIVE",
    "unverdicted": "NO VERDICT",
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_verdict_is_the_one_of_the_record(name) -> None:
    verdicts = [line.split(maxsplit=1)[1] for line in report(name).splitlines() if line.startswith("verdict ")]
    assert [verdict.split(" (")[0] for verdict in verdicts] == [OUTCOMES[name]]
    assert ("PASS" in report(name)) == (OUTCOMES[name] == "PASS")  # a report of a failing record does not say PASS


def test_the_head_says_what_was_tried_and_on_what() -> None:
    text = " ".join(report("lowered").split())
    for part in (
        "vit_small_patch16_dinov3.lvd1689m (asked for as vit_small_patch16_dinov3), recipe 0123abcd, pool cls",
        "seed:7: drawn weights, not trained",
        "eager 2.13.0 in float32 on cuda:0 (A GPU)",
        "photographs, 4x3x256x256, sha256 ab12ab12ab12",
        "golden computed here",
        "behaves like hf32 (about 11 bits), first visible at patches",
        "precision hf32 met, float32 required",
        "culprit patches",
        "cause torch.backends.cudnn.allow_tf32",
        "120 times the limit",
        "took golden 4.2 s",
    ):
        assert part in text
    trained = replace(trial_records.passing(), model={"origin": {"kind": "hub", "repo": "timm/x", "revision": "abc"}})
    assert "timm/x at abc" in terminal.trial(trained)
    assert "drawn" not in terminal.trial(trained)


def test_what_a_runtime_notes_stands_beside_it() -> None:
    record = trial_records.passing()
    noted = replace(record, candidate=replace(record.candidate, note="the model's own parameters"))
    assert "(A GPU) the model's own parameters inputs" in " ".join(terminal.trial(noted).split())


def test_random_inputs_are_labelled() -> None:
    record = trial_records.passing()
    inputs = replace(record.inputs, kind="random", seeds=(42, 123))
    assert "random pixels from the seeds 42, 123" in terminal.trial(replace(record, inputs=inputs))


@pytest.mark.parametrize("width", WIDTHS)
def test_every_output_has_its_row(width) -> None:
    rows = {line.split()[0]: line.split() for line in section(report("failing", width), "OUTPUTS")}
    assert rows["output"] == ["output", "shape", "error", "trusted", "/", "limit", "token", "cosine", "max", "abs"]
    expected = ["patches", "4x256x384", "8.1e-5", "5.6e-7", "35.8", "1.1e-4", "0.9999999967", "9.7e-4"]
    assert rows["patches"] == expected
    assert {"cls", "registers", "pooled"} <= set(rows)
    assert "worst input of cls: cat.jpg" in report("failing", width)


def test_the_ratio_to_the_limit_follows_the_class_required() -> None:
    record = trial_records.lowered()
    rows = {line.split()[0]: line.split() for line in terminal.trial(record).splitlines() if line}
    assert rows["cls"] == ["cls", *rows["cls"][1:]]
    for expect, over in (("float32", "124"), ("hf32", "0.341"), ("unheard-of", "-")):
        lines = section(terminal.trial(replace(record, expect=expect)), "OUTPUTS")
        assert next(line.split()[4] for line in lines if line.startswith("  cls ")) == over


def test_what_is_not_finite_is_said_and_not_drawn_as_a_figure() -> None:
    text = report("nonfinite")
    lines = section(text, "OUTPUTS")
    assert next(line.split()[2:4] for line in lines if line.startswith("  patches")) == ["not", "finite"]
    assert "patches: 7 of 393216 numbers are not finite" in text
    assert all(line.endswith("!") for line in section(text, "LADDER") if line.startswith(("  cls ", "  patches")))
    stages = {line[2:].split()[0]: line for line in section(text, "STAGES")}
    assert "!" in stages["block.07"]
    assert "!" not in stages["block.04"]
    assert "nan" not in text.lower()


def test_the_candidate_stands_where_it_lies_on_the_ladder() -> None:
    def order(name: str, output: str) -> str:
        line = next(line for line in section(report(name), "LADDER") if line.startswith(f"  {output} "))
        return "".join(letter for letter in line.removeprefix(f"  {output} ") if letter not in " ·")

    assert order("passing", "cls") == "1c234"  # just above the float32 run
    assert order("lowered", "patches") == "1c234"
    record = trial_records.lowered()
    like_bfloat16 = replace(record, outputs=(trial_records.output("cls", 3.9e-3),))
    line = next(line for line in section(terminal.trial(like_bfloat16), "LADDER") if line.startswith("  cls "))
    assert line.rstrip().index("c", 5) > line.index("4")
    assert "1 float32 5.6e-7; 2 hf32 4.1e-4; 3 float16 4.3e-4; 4 bfloat16 3.2e-3" in report("failing")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "culprit", "count"), [("failing", "block.03", 14), ("large", "block.31", 42)])
def test_both_curves_have_a_row_for_every_stage_and_mark_the_culprit(name, culprit, count, width) -> None:
    lines = section(report(name, width), "STAGES")
    rows = [line for line in lines if line[2:].startswith(("patches", "block.", "norm"))]
    assert len(rows) == count
    assert [line.split()[1] for line in rows if line.startswith(">")] == [culprit]
    at = next(number for number, line in enumerate(rows) if line.startswith(">"))
    free, fed = (lines[0].index(title) for title in ("runs freely", "fed the golden"))
    distance = [[dots.count("·") for dots in (line[free:fed], line[fed:])] for line in rows]
    assert distance[at - 1] == [0, 0]
    assert min(distance[at]) > 5
    assert distance[at + 1][0] > 5  # a fault is carried on where the candidate runs freely,
    assert distance[at + 1][1] == 0  # and is not where each stage is fed the golden
    assert f"first culprit: {culprit}" in " ".join(" ".join(lines).split())


def test_a_pass_marks_no_culprit() -> None:
    assert not any(line.startswith(">") for line in report("passing").splitlines())
    assert "culprit" not in report("passing")


def test_a_runtime_without_stages_says_so() -> None:
    text = " ".join(report("stageless").split())
    assert "onnxruntime fuses the blocks" in text
    assert "the candidate shows no stages" in text
    rows = [line for line in section(report("stageless"), "STAGES") if line.startswith("  block.")]
    assert rows
    assert all("r" in row and "c" not in row.replace("block", "") for row in rows)
    assert "none were compared: onnxruntime" in " ".join(report("featureless").split())


def test_no_class_token_and_no_registers() -> None:
    lines = section(report("featureless"), "OUTPUTS")
    assert not any(line.startswith("  cls ") for line in lines)
    empty = next(line for line in lines if line.startswith("  registers"))
    assert empty.split() == ["registers", "4x0x384", "empty", *"-----"]
    assert not any(line.startswith("  registers") for line in section(report("featureless"), "LADDER"))
    bare = replace(trial_records.passing(), outputs=(), stages=(), checks=(), verdicts=(), seconds={})
    text = terminal.trial(bare)
    assert "none: nothing was compared" in text
    assert "ALL RULES" not in text


def test_an_error_of_exactly_nothing_is_drawn_at_the_left() -> None:
    stages = section(report("exact"), "STAGES")
    row = next(line for line in stages if line.startswith("  patches "))
    assert row[stages[0].index("runs freely")] == "c"
    assert next(line.split()[2] for line in section(report("exact"), "OUTPUTS") if line.startswith("  cls ")) == "0"


def test_checks_stand_in_the_order_of_their_weight() -> None:
    checks = section(report("unverdicted"), "CHECKS")
    order = [line.split()[1] for line in checks if "." in line.split()[0]]
    assert order == ["fail", "unknown", "pass", "pass", "pass", "pass"]
    assert section(report("limited"), "CHECKS")[1].split()[:2] == ["behaviour.determinism", "warn"]
    assert "selftest.perturbed: one perturbed weight was not seen" in report("unverdicted")


def test_switches_toggles_and_rules() -> None:
    text = report("lowered", 80)
    lines = [" ".join(line.split()) for line in section(text, "SWITCHES")]
    assert "! torch.backends.cudnn.allow_tf32 True False" in lines
    assert "torch.backends.cuda.matmul.allow_tf32 False False" in lines
    assert "! looser than strict: torch.backends.cudnn.allow_tf32 (strict: False)" in lines
    assert "yes float32 0.3 torch.backends.cudnn.allow_tf32" in lines
    assert "no hf32 120 torch.backends.cuda.matmul.allow_tf32" in lines
    assert lines[-1] == "cause: torch.backends.cudnn.allow_tf32"
    rules = [line.split()[:3] for line in section(text, "ALL RULES")]
    assert ["calibrated", "fail", "120"] in rules
    assert ["trimmed-1pct", "pass", "1.0e-4"] in rules


ASCEND = (
    SwitchRecord(name="torch.npu.conv.allow_hf32", value="True", strict="False"),
    SwitchRecord(
        name="torch.npu.set_option: ACL_PRECISION_MODE", value="allow_fp32_to_fp16", strict="must_keep_origin_dtype"
    ),
    SwitchRecord(name="torch.autocast('npu')", value="False", strict="False"),
)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_switch_has_one_line_and_none_is_wrapped(width) -> None:
    record = trial_records.passing()
    text = terminal.trial(replace(record, candidate=replace(record.candidate, switches=ASCEND)), width)
    lines = section(text, "SWITCHES")
    rows = lines[1 : next(number for number, line in enumerate(lines) if "looser" in line)]
    assert [line.split()[0] for line in rows] == ["!", "!", "torch.autocast('npu')"]
    assert all(switch.name in line and switch.value in line for switch, line in zip(ASCEND, rows, strict=True))
    assert "ACL_PRECISION_MODE (strict: must_keep_origin_dtype)" in " ".join(text.split())
    strict = [replace(switch, value=switch.strict) for switch in ASCEND]
    text = terminal.trial(replace(record, candidate=replace(record.candidate, switches=tuple(strict))), width)
    assert "!" not in "".join(section(text, "SWITCHES"))
    assert "looser" not in text


@pytest.mark.parametrize("outcome", ["pass", "limited", "inconclusive"])
def test_a_cause_is_named_only_for_a_failure(outcome) -> None:
    record = trial_records.lowered()
    assert record.verdict is not None
    for text in (terminal.trial(record), junit.trial(record)):
        assert re.search(r"\bcause\b", text)
    good = replace(record, verdict=replace(record.verdict, outcome=outcome, because="so"))
    for text in (terminal.trial(good), junit.trial(good)):
        assert not re.search(r"\bcause\b", text)
        assert "explains it" not in text


def test_the_trusted_run_is_that_of_the_class_required() -> None:
    record = trial_records.lowered()
    hf32 = replace(record, expect="hf32", stages=tuple(replace(s, isolated=s.ladder["hf32"]) for s in record.stages))
    text = terminal.trial(hf32)
    row = next(line.split() for line in section(text, "OUTPUTS") if line.startswith("  cls "))
    assert row[3] == "4.1e-4"
    words = " ".join(text.split())
    assert "trusted run on the CPU in hf32; token" in words
    assert "in float32 (runs freely) and hf32 (fed the golden input); isolated" in words
    lines = section(text, "STAGES")
    fed = lines[0].index("fed the golden")
    assert all("·" not in line[fed:] for line in lines[3:] if line[2:].startswith("block."))  # c beside r, not far off
    message = case(ElementTree.fromstring(junit.trial(hf32)), "outputs", "cls")
    assert "of the trusted run in hf32 4.1e-4" in "".join(message.itertext())
    plain = terminal.trial(record)
    assert "5.6e-7" in next(line for line in section(plain, "OUTPUTS") if line.startswith("  cls "))
    assert "in float32; isolated" in " ".join(plain.split())
    unheard = " ".join(terminal.trial(replace(record, expect="unheard-of")).split())
    assert "trusted run on the CPU in float32; token" in unheard


def test_images_are_named_and_our_own_are_not() -> None:
    record = trial_records.passing()
    few = replace(record, inputs=replace(record.inputs, kind="images", names=("a.png", "b" * 60 + ".png")))
    assert f"images a.png, {'b' * 23}…, 4x3" in " ".join(terminal.trial(few, 120).split())
    many = replace(few, inputs=replace(few.inputs, names=tuple(f"{n}.png" for n in range(9))))
    assert "images 0.png, 1.png, 2.png and 6 others, 4x3" in " ".join(terminal.trial(many).split())
    assert "astronaut.jpg" not in terminal.trial(record).split("OUTPUTS")[0]


def test_a_check_that_passes_above_its_limit_says_so() -> None:
    assert "12.5, must exceed 1" in report("passing")
    assert "measured 12.5, must exceed 1" in junit.trial(trial_records.passing())
    other = Check(name="reference.noise", status="pass", because="calm", value=0.01, limit=0.1)
    assert "0.01 of 0.1" in terminal.trial(replace(trial_records.passing(), checks=(other,)))


def test_a_long_class_name_leaves_heads_that_are_whole() -> None:
    record = trial_records.failing()
    stages = tuple(replace(stage, precision="hf32 in matrix products") for stage in record.stages)
    text = terminal.trial(replace(record, stages=stages), 80)
    assert "…" not in text
    assert "fed the golden" in text


def test_control_characters_do_not_reach_the_terminal() -> None:
    record = trial_records.passing()
    check = Check(name="a\nb", status="warn", because="red \x1b[31m\r\nand \u202e back")
    text = terminal.trial(replace(record, checks=(check,), golden="x\x1b]0;title\x07"))
    assert all(letter.isprintable() for line in text.split("\n") for letter in line)


def test_reports_import_no_torch() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests'); import trial_records\n"
        "from snellen.report import junit, terminal\n"
        "from snellen.records.trials import read_trial\n"
        "record = read_trial(trial_records.lowered().to_dict()); terminal.trial(record); junit.trial(record)\n"
        "print([name for name in ('torch', 'numpy', 'rich', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- plots and text


def test_an_axis_holds_whole_decades() -> None:
    axis = LogAxis.over([3e-7, 2e-3, None, 0.0], 41)
    assert (axis.low, axis.high) == (-7, -2)
    assert [axis.cell(10.0**power) for power in range(-7, -1)] == [0, 8, 16, 24, 32, 40]
    assert axis.cell(0.0) == axis.cell(1e-30) == 0
    assert axis.cell(None) == axis.cell(1e30) == 40
    assert axis.labels() == "1e-7    1e-6    1e-5    1e-4    1e-3 1e-2"
    assert axis.ruler() == "┼───────" * 5 + "┼"
    assert LogAxis.over([], 20).high == 0
    assert LogAxis.over([1e-3], 20) == LogAxis(-3, -2, 20)


@pytest.mark.parametrize("size", range(8, 60))
@pytest.mark.parametrize("low", [1e-12, 1e-7, 0.1])
def test_labels_never_run_together(low, size) -> None:
    axis = LogAxis.over([low, 1.0], size)
    words = axis.labels().split()
    assert words
    assert all(float(word) > 0 for word in words)
    assert len(axis.ruler()) == size
    assert len(axis.labels()) <= size


def test_marks_keep_their_order_where_they_meet() -> None:
    axis = LogAxis(-3, 0, 31)
    assert axis.row({"a": 1e-3, "b": 1.0}) == "a" + "·" * 29 + "b"
    assert axis.row({"b": 1.02e-3, "a": 1.01e-3, "c": 1.03e-3}).rstrip() == "abc"
    assert axis.row({"b": 0.999, "a": 0.998}).lstrip() == "ab"
    assert axis.row({"b": None, "a": 1e-3}) == "a" + "·" * 29 + "!"
    assert axis.row({}) == " " * 31
    assert len(LogAxis(-1, 0, 2).row({"a": 0.1, "b": 0.2, "c": 0.3})) == 2


def test_figures() -> None:
    values = (None, 0.0, 5.6e-7, -5.6e-7, 0.0123, 0.27, 1.07142, 12.5, 450.2, 1234.0)
    assert list(map(figure, values)) == [
        "-",
        "0",
        "5.6e-7",
        "-5.6e-7",
        "0.0123",
        "0.27",
        "1.07",
        "12.5",
        "450",
        "1.2e3",
    ]
    assert (cosine(None), cosine(0.5)) == ("-", "0.5000000000")


def test_widths_are_counted_in_cells() -> None:
    assert cells("咖啡.jpg") == 8
    assert clip("咖啡.jpg", 8) == "咖啡.jpg"
    assert clip("咖啡.jpg", 4) == "咖…"
    assert all(cells(line) <= 20 for line in wrapped("咖啡" * 30, 20, first="  "))
    rows = [["咖啡", "x"], ["cat", "y"]]
    lines = list(table([Column(header="name"), Column(header="b")], rows, 40))
    assert [cells(line) for line in lines] == [7, 7, 7]


def test_a_table_drops_what_may_go_and_wraps_the_rest() -> None:
    columns = [Column(header="a"), Column(header="long", goes=1), Column(header="because")]
    row = ["x", "y" * 20, "one two three four"]
    assert "y" * 20 in "".join(table(columns, [row], 80))
    narrow = list(table(columns, [row], 14))
    assert narrow == ["a  because", "x  one two", "   three four"]


# ---- JUnit


def parsed(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(junit.trial(trial_records.ALL[name]()))


def case(root: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    (found,) = (
        one
        for one in root.iter("testcase")
        if one.attrib["classname"].endswith(f".{group}") and one.attrib["name"] == name
    )
    return found


def became(element: ElementTree.Element) -> str:
    kinds = [child.tag for child in element if child.tag in {"failure", "error", "skipped"}]
    assert len(kinds) <= 1
    return kinds[0] if kinds else "passed"


ATTRIBUTES = {  # of junit-10.xsd, which Jenkins' xUnit plugin checks against
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
    "testcase": {"name", "classname", "time", "group"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "property": {"name", "value"},
    "properties": set(),
    "system-out": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "testcase": {"skipped", "error", "failure", "system-out"},
    "properties": {"property"},
}


@pytest.mark.parametrize("name", trial_records.ALL)
def test_the_document_keeps_to_the_schema_and_its_counts_are_right(name) -> None:
    text = junit.trial(trial_records.ALL[name]())
    mark = "<!-- SIMULATED: the device was simulated; these figures say nothing about hardware -->\n"
    comment = mark if name == "simulated" else ""
    assert text.startswith(f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}<testsuites ')
    root = ElementTree.fromstring(text.encode())
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    (suite,) = root
    assert suite.attrib["name"].startswith("SIMULATED snellen.") == (name == "simulated")
    cases = list(suite.iter("testcase"))
    record = trial_records.ALL[name]()
    assert len(cases) == 1 + len(record.outputs) + len(record.stages) + len(record.checks)
    names = [(one.attrib["classname"], one.attrib["name"]) for one in cases]
    assert len(set(names)) == len(names)
    assert int(suite.attrib["tests"]) == len(cases)
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(became(one) == kind for one in cases)
    assert sum(float(one.attrib["time"]) for one in cases) == float(suite.attrib["time"]) == 15.0
    assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"


CASES = {
    "passing": "passed",
    "limited": "passed",
    "failing": "failure",
    "lowered": "failure",
    "nonfinite": "failure",
    "inconclusive": "error",
    "unverdicted": "error",
}


@pytest.mark.parametrize("name", CASES)
def test_the_case_of_the_verdict(name) -> None:
    root = parsed(name)
    verdict = next(one for one in root.iter("testcase") if one.attrib["classname"].endswith(".verdict"))
    assert became(verdict) == CASES[name]
    bad = int(root.attrib["failures"]) + int(root.attrib["errors"])
    assert (bad == 0) == (CASES[name] == "passed")


def test_a_strict_verdict_lets_nothing_be_limited() -> None:
    for name, failures in (("limited", 1), ("passing", 0)):
        root = ElementTree.fromstring(junit.trial(trial_records.ALL[name](), strict=True))
        assert int(root.attrib["failures"]) == failures
    verdict = next(ElementTree.fromstring(junit.trial(trial_records.limited(), strict=True)).iter("testcase"))
    assert verdict[0].attrib["message"] == "within the limits, but two runs on one input differ"


def test_a_failure_is_said_where_it_is() -> None:
    root = parsed("failing")
    assert became(case(root, "stages", "block.03")) == "failure"
    assert "the first culprit" in case(root, "stages", "block.03")[0].attrib["message"]
    assert became(case(root, "stages", "block.04")) == "passed"  # clean where it is fed the golden's input
    for output in ("cls", "patches"):
        failure = case(root, "outputs", output).find("failure")
        assert failure is not None
        assert failure.attrib["message"] == "35.8 times the limit of float32"
        assert "worst token 1.1e-4" in (failure.text or "")
    fine = replace(trial_records.failing(), outputs=(trial_records.output("cls", 6e-7),))
    root = ElementTree.fromstring(junit.trial(fine))
    assert became(case(root, "outputs", "cls")) == "passed"


def test_no_part_passes_where_nothing_judged_it() -> None:
    for name in ("inconclusive", "unverdicted"):
        parts = [
            one for one in parsed(name).iter("testcase") if one.attrib["classname"].endswith(("outputs", "stages"))
        ]
        assert {became(one) for one in parts} == {"skipped"}
    record = trial_records.failing()
    assert record.verdict is not None
    other = replace(record, verdict=replace(record.verdict, rule="trimmed-1pct", culprit=None))
    parts = list(ElementTree.fromstring(junit.trial(other)).iter("testcase"))
    judged = [one for one in parts if one.attrib["classname"].endswith(("outputs", "stages"))]
    assert {became(one) for one in judged} == {"skipped"}


def test_what_is_not_finite_empty_or_not_shown() -> None:
    assert became(case(parsed("nonfinite"), "outputs", "patches")) == "failure"
    assert became(case(parsed("nonfinite"), "stages", "block.09")) == "failure"
    assert became(case(parsed("featureless"), "outputs", "registers")) == "skipped"
    assert became(case(parsed("stageless"), "stages", "block.01")) == "skipped"


def test_checks_and_warnings() -> None:
    root = parsed("unverdicted")
    assert became(case(root, "checks", "placement.fallbacks")) == "skipped"
    assert became(case(root, "checks", "selftest.perturbed")) == "failure"
    warned = case(parsed("limited"), "checks", "behaviour.determinism")
    assert became(warned) == "passed"
    assert (warned.findtext("system-out") or "").startswith("warn: two runs")
    verdict = next(parsed("limited").iter("testcase"))
    assert (verdict.findtext("system-out") or "").startswith("limited: within the limits")


def test_properties_say_where_it_ran() -> None:
    values = {one.attrib["name"]: one.attrib["value"] for one in parsed("simulated").iter("property")}
    assert next(iter(values)) == "SIMULATED"
    assert values["device"] == "npu:0"
    assert values["switch.torch.backends.cudnn.allow_tf32"] == "True"
    assert values["rule.calibrated"] == "fail"
    assert not [one for one in parsed("lowered").iter("property") if one.attrib["name"] == "SIMULATED"]


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    record = trial_records.passing()
    check = Check(name="a\x00b", status="fail", because="x \x1b[31m \ud800 <&> ]]> 咖啡")
    root = ElementTree.fromstring(junit.trial(replace(record, checks=(check,), golden="\x07")).encode())
    failed = case(root, "checks", "a\ufffdb")
    assert failed[0].attrib["message"] == "x \ufffd[31m \ufffd <&> ]]> 咖啡"
