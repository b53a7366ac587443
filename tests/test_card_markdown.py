"""Cards in Markdown and on the terminal: valid, honest in the first lines, and no name in them is markup."""

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

import report_records
from card_cases import HOSTILE, hostile
from card_parts import blocks, body
from report_records import cpu_example, example
from snellen.report.card_markdown import escaped, markdown
from snellen.report.card_terminal import folded, terminal
from snellen.report.phrases import (
    LANGS,
    phrase,
)
from snellen.report.sections import Code, sections
from snellen.report.sections import figures as f
from snellen.report.text import cells, one_line


def parsed(card: str) -> list[Any]:
    """Return a card's tokens, its front matter cut off."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(body(card))


@pytest.mark.parametrize("lang", LANGS)
def test_every_table_is_one(lang: str) -> None:
    for record in (example(), hostile()):
        tokens = parsed(markdown(record, lang))
        wanted = [table for section in sections(record) for table in section.tables]
        assert sum(token.type == "table_open" for token in tokens) == len(wanted)
        shapes, cells_in_row = [], 0
        for token in tokens:
            if token.type in ("td_open", "th_open"):
                cells_in_row += 1
            if token.type == "tr_close":
                shapes.append(cells_in_row)
                cells_in_row = 0
        assert shapes == [len(row) for table in wanted for row in (table.header, *table.rows)]
        for table in wanted:
            assert {len(row) for row in table.rows} <= {len(table.header)}, table.key


@pytest.mark.parametrize("lang", LANGS)
def test_hostile_names_are_harmless(lang: str) -> None:
    card = markdown(hostile(), lang)
    tokens = parsed(card)
    inner = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inner)}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert sum(token.type == "heading_open" for token in tokens) == 1 + len(blocks(card))
    fenced = "".join(token.content for token in tokens if token.type == "fence")
    for part in ("<script>", "<img", "http://"):
        assert body(card).count(part) == fenced.count(part)


def test_without_escaping_they_are_not() -> None:
    kinds = {child.type for token in MarkdownIt().parse(HOSTILE) for child in token.children or ()}
    assert "link_open" in kinds
    shown = "".join(child.content for token in MarkdownIt().parse(escaped(HOSTILE)) for child in token.children or ())
    assert shown == " ".join(HOSTILE.split())


def test_a_fence_is_longer_than_what_it_holds() -> None:
    fences = [token for token in parsed(markdown(hostile(), "en")) if token.type == "fence"]
    wanted = [part for section in sections(hostile()) for part in section.parts if isinstance(part, Code)]
    assert len(fences) == len(wanted)
    assert [token.info for token in fences] == [part.language for part in wanted]


# ---- what has to be said first


@pytest.mark.parametrize("lang", LANGS)
def test_cautions_stand_in_the_first_lines(lang: str) -> None:
    card = markdown(example(), lang)
    head = card.splitlines()[:3]
    said = [
        phrase(lang, "caution.simulated", device=phrase(lang, "value.device", name="npu:0", product="simulated NPU"))
    ]
    said.append(phrase(lang, "caution.seeded", seed="seed:0"))
    assert head[1:] == [f"# {text}" for text in said]
    first = body(card).strip().splitlines()[:5]
    assert sum(line.startswith("> **") for line in first) == 2
    assert list(terminal(example(), lang, 200))[:2] == said


@pytest.mark.parametrize("lang", LANGS)
def test_a_real_run_has_no_cautions(lang: str) -> None:
    card = markdown(cpu_example(), lang)
    assert not re.search(r"(?m)^> \*\*|^# SIM|^# 模拟设备", card)
    assert not any(section.key == "cautions" for section in sections(cpu_example()))


def test_random_inputs_are_said() -> None:
    trial = example().trial
    record = cpu_example(trial=replace(trial, inputs=replace(trial.inputs, kind="random", seeds=(1, 2, 3, 4))))
    for lang in LANGS:
        assert phrase(lang, "caution.random", count="4") in markdown(record, lang)
        assert phrase(lang, "caution.random", count="4") not in markdown(example(), lang)


def test_the_other_reports_cautions_are_said_too() -> None:
    cautions = next(s for s in sections(cpu_example(), example()) if s.key == "cautions")
    assert {part.text.key for part in cautions.parts} == {"caution.other"}


# ---- front matter


@pytest.mark.parametrize("lang", LANGS)
def test_front_matter_is_yaml_for_hubs(lang: str) -> None:
    data = yaml.safe_load(markdown(example(), lang).split("---\n")[1])
    assert data["language"] == [lang]
    assert (data["license"], data["license_name"]) == ("other", "dinov3-license")
    assert (data["library_name"], data["pipeline_tag"]) == ("timm", "image-feature-extraction")
    assert "\nhardware: NPU\n" in markdown(example(), lang)  # as reviewers look for it
    assert "#+NPU" in data["tags"]
    assert "base_model" not in data  # drawn weights come from no model
    card = ModelCard(markdown(cpu_example(), lang))
    assert card.data.base_model == f"timm/{report_records.NAME}"
    assert card.data.pipeline_tag == "image-feature-extraction"
    assert "hardware" not in card.data.to_dict()


@pytest.mark.parametrize("licence", ["Apache-2.0", "yes: no # \n- x", None, "a 'b' \"c\" \\", "\x00\x07 \u202ea"])
def test_any_licence_is_valid_yaml(licence: str | None) -> None:
    record = replace(hostile(), facts=replace(example().facts, licence=licence, family="no"))
    data = yaml.safe_load(markdown(record, "en").split("---\n")[1])
    assert data["license"] == {"Apache-2.0": "apache-2.0", None: "unknown"}.get(licence, "other")
    assert "no" in data["tags"]
    if data["license"] == "other":
        assert data["license_name"] == one_line(licence or "")


# ---- terminal


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_of_the_summary_is_too_wide(lang: str, width: int) -> None:
    for record in (example(), cpu_example(), hostile()):
        lines = list(terminal(record, lang, width, example()))
        assert max(map(cells, lines)) <= width
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("lang", LANGS)
def test_the_summary_holds_the_verdict_the_figures_and_where_to_look(lang: str) -> None:
    told = "\n".join(terminal(example(), lang, 200))
    point = example().bench.points[0]
    assert point.latency is not None
    for part in (phrase(lang, "outcome.fail"), f.ms(point.latency.p50_ms), report_records.CONV, "report.json"):
        assert part in told


def test_lines_are_folded_where_they_may_be_broken() -> None:
    assert list(folded("one two three", 8)) == ["one two", "three"]
    assert list(folded("精度验证，通过（全部）。", 10)) == ["精度验证，", "通过（全", "部）。"]
    assert list(folded("x" * 25, 10, then="  ")) == ["x" * 10, "  " + "x" * 8, "  " + "x" * 7]
    assert list(folded("", 10)) == []
    assert "".join(folded("a 中文 b", 1)).replace(" ", "") == "a中文b"  # narrower than a letter is wide


def test_the_summary_sets_another_report_beside() -> None:
    for lang in LANGS:
        here, beside = ("\n".join(terminal(cpu_example(), lang, 300, other)) for other in (None, example()))
        assert phrase(lang, "table.compared_speed") in beside
        assert phrase(lang, "table.compared_speed") not in here
        device = phrase(lang, "value.device", name="npu:0", product="simulated NPU")
        assert phrase(lang, "caution.simulated", device=device) in beside.splitlines()[0]
