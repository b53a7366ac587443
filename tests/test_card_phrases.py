"""Texts of cards: both languages have the same, hold no figures, and say the same figures of every report."""

import re
from string import Formatter

import pytest

from card_cases import variants
from card_parts import blocks, body, keys, numbers
from report_records import cpu_example, example
from snellen.errors import UnknownName
from snellen.records.report import ReportRecord
from snellen.report.card_markdown import markdown
from snellen.report.phrases import (
    LANGS,
    en,
    en_notes,
    en_page,
    en_tables,
    language,
    phrase,
    template,
    zh,
    zh_notes,
    zh_page,
    zh_tables,
)
from snellen.report.sections import sections

PAIRS = ((en.PHRASES, zh.PHRASES), (en_tables.PHRASES, zh_tables.PHRASES), (en_notes.PHRASES, zh_notes.PHRASES))
MINE = {key: text for table, _ in PAIRS for key, text in table.items()}


@pytest.mark.parametrize("pair", PAIRS, ids=("sentences", "tables", "notes"))
def test_both_languages_have_the_same_phrases_with_the_same_values(pair: tuple[dict[str, str], dict[str, str]]) -> None:
    english, chinese = pair
    assert list(english) == list(chinese)
    for key in english:
        values = [{name for _, name, _, _ in Formatter().parse(table[key]) if name} for table in pair]
        assert values[0] == values[1], key


def test_no_key_stands_in_two_modules() -> None:
    for tables in (
        [english for english, _ in PAIRS] + [en_page.PHRASES],
        [chinese for _, chinese in PAIRS] + [zh_page.PHRASES],
    ):
        assert len(set().union(*tables)) == sum(map(len, tables))


def test_a_phrase_holds_no_figure() -> None:
    allowed = re.compile(
        r"float\d+|bfloat\d+|hf\d+|p\d\d|1e-\d|top-1|DINOv\d|AIMv\d|95 %|sha256|1 - |1.*?5.*?15|2-1pct"
    )
    for lang in LANGS:
        for key in MINE:
            prose = re.sub(r"`[^`]*`|\{\w+\}", "", template(lang, key))
            assert not re.search(r"\d", allowed.sub("", prose)), (lang, key)


def test_marks_of_names_come_in_pairs_within_one_piece_of_text() -> None:
    for lang in LANGS:
        for key in MINE:
            for literal, _, _, _ in Formatter().parse(template(lang, key)):
                assert literal.count("`") % 2 == 0, (lang, key)


def test_a_phrase_is_found_and_filled() -> None:
    assert phrase("zh", "value.spent", part="统计", seconds="1.5") == "统计：1.5 秒"
    assert "`" not in phrase("en", "tune.nothing", goal="g", seconds="1", setup="s", default="d")
    with pytest.raises(KeyError):
        phrase("en", "no.such.key")
    with pytest.raises(UnknownName):
        language("fr")


def used() -> set[str]:
    """Return the keys of all texts that any variant of a report says."""
    found: set[str] = set()
    for record in variants():
        for section in sections(record, example()):
            found |= keys(section)
    return found


def test_every_phrase_is_said_by_some_report() -> None:
    groups = (
        "check.",
        "pool.",
        "family.",
        "group.",
        "file.",
        "part.",
        "severity.",
        "goal.",
        "tuned.",
        "note.",
        "mode.",
    )
    groups += ("binds.", "point.", "inputs.", "terminal.", "title")  # words of a list, and what sections do not hold
    rest = {key for key in MINE if not key.startswith(groups)}
    assert sorted(rest - used()) == ["notes.none"]  # no report was thought of that calls for no note


# ---- both languages say the same


@pytest.mark.parametrize("record", list(variants()), ids=lambda record: record.trial.candidate.runtime)
def test_both_cards_have_the_same_sections_and_figures(record: ReportRecord) -> None:
    english, chinese = (blocks(markdown(record, lang, cpu_example())) for lang in LANGS)
    titles = [section.key for section in sections(record, cpu_example()) if section.key != "cautions"]
    for lang, found in zip(LANGS, (english, chinese), strict=True):
        assert list(found) == [phrase(lang, f"section.{key}") for key in titles]
    for (title, here), there in zip(english.items(), chinese.values(), strict=True):
        assert numbers(here) == numbers(there), title


def test_a_figure_that_one_card_has_alone_is_found() -> None:
    english, chinese = (markdown(example(), lang) for lang in LANGS)
    assert numbers(body(english)) == numbers(body(chinese))
    assert numbers(body(english)) != numbers(body(chinese.replace("0.2700", "0.2800").replace("150.0", "151.0")))


def test_chinese_cards_are_chinese() -> None:
    card = body(markdown(example(), "zh"))
    quoted = re.sub(r"(?ms)^>.*?$|^```.*?^```|`[^`\n]*`", "", card)
    sentences = [line for line in quoted.splitlines() if line and not line.startswith("|")]
    wordy = [line for line in sentences if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", line)]
    assert wordy == []
