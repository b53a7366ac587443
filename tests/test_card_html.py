"""Cards as web pages: whole, harmless, nothing asked of a network, and the same figures as in every other rendering."""

from __future__ import annotations

import io
import math
import re
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

import report_records
import trial_records
from snellen.records.report import Histogram, ReportRecord
from snellen.report import card_html
from snellen.report.card_html import html
from snellen.report.html import heat, markup, page, scales, svg
from snellen.report.phrases import LANGS, en_page, zh_page
from snellen.report.sections import Text, said, sections

sys.path.append(str(Path(__file__).parent.parent / "tools"))  # behind the tests: both have a "parity"

import browser
import screenshots

VOID = {"meta", "img", "wbr", "br", "link", "input", "hr"}
FETCHING = {
    "src",
    "href",
    "xlink:href",
    "srcset",
    "action",
    "formaction",
    "poster",
    "data",
    "background",
    "cite",
    "ping",
}
HOSTILE = (
    "<script>alert(1)</script>\"'><img src=http://example.org/x onerror=alert(1)> & \u202e שלום 🐈‍⬛ 咖啡 \x00\ud800"
)
PLACES = ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "width", "height")


@dataclass
class Seen(HTMLParser):
    """A page taken apart: elements with their attributes, the texts of table cells, what is wrong with its tags."""

    text: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    body: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"{tag} has an attribute twice")
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if "svg" not in self._open:
            self.wrong.append(f"{tag} ends in a slash outside a drawing")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> ends nothing")

    def handle_data(self, data: str) -> None:
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data
        if "body" in self._open:
            self.body += data

    def close(self) -> None:
        super().close()
        self.wrong += [f"<{tag}> is never closed" for tag in self._open]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def seen(text: str) -> Seen:
    parser = Seen(text)
    parser.feed(text)
    parser.close()
    return parser


@cache
def taken(name: str, lang: str = "en", other: str = "") -> Seen:
    return seen(rendered(name, lang, other))


def outside(found: Seen) -> list[str]:
    """Return everything in a page that would be fetched."""
    fetched = [
        f"{tag} {name}={value}"
        for tag, attributes in found.elements
        for name, value in attributes.items()
        if name in FETCHING and not (value or "").startswith(("data:image/", "#"))
    ]
    styles = [*re.findall("<style>(.*?)</style>", found.text, re.DOTALL), *re.findall('style="([^"]*)"', found.text)]
    return fetched + re.findall(r"url\([^)]*\)|@import[^;]*|image-set", " ".join(styles))


def running(found: Seen) -> list[str]:
    """Return everything in a page that could run."""
    tags = [tag for tag, _ in found.elements if tag in ("script", "iframe", "object", "embed", "base", "form")]
    return tags + [f"{tag} {name}" for tag, given in found.elements for name in given if name.startswith("on")]


def hostile() -> ReportRecord:
    """Return a report every name of which is an attack."""
    record = report_records.example()
    trial = record.trial
    stages = tuple(replace(stage, name=f"{HOSTILE}{number}") for number, stage in enumerate(trial.stages))
    assert trial.verdict is not None
    verdict = replace(trial.verdict, because=HOSTILE, culprit=stages[0].name, findings=(HOSTILE,))
    candidate = replace(trial.candidate, note=HOSTILE, device={**trial.candidate.device, "product": HOSTILE})
    outputs = tuple(replace(output, name=HOSTILE) for output in trial.outputs)
    return replace(
        record,
        facts=replace(record.facts, title=HOSTILE, names=(HOSTILE,), licence=HOSTILE),
        trial=replace(trial, stages=stages, verdict=verdict, candidate=candidate, outputs=outputs),
        evidence=replace(record.evidence, image=HOSTILE),
        pca=(replace(record.pca[0], image=HOSTILE, photo_jpeg='"><script>'),),
        histograms=(replace(record.histograms[0], output=HOSTILE),),
        command=HOSTILE,
        notes=(HOSTILE,),
        version=HOSTILE,
    )


def of_trial(name: str) -> ReportRecord:
    return report_records.example(trial=trial_records.ALL[name]())


RECORDS = {
    "npu": report_records.example,
    "cpu": report_records.cpu_example,
    "hostile": hostile,
    **{name: (lambda name=name: of_trial(name)) for name in trial_records.ALL},
}


@cache
def rendered(name: str, lang: str = "en", other: str = "") -> str:
    return html(RECORDS[name](), lang, RECORDS[other]() if other else None)


PAGES = [(name, lang, "") for name in RECORDS for lang in LANGS] + [("npu", "en", "cpu"), ("cpu", "zh", "npu")]
EVERY = pytest.mark.parametrize(("name", "lang", "other"), PAGES, ids=["-".join(filter(None, one)) for one in PAGES])


# ---- the file


@EVERY
def test_a_page_is_whole_and_asks_for_nothing(name, lang, other) -> None:
    text = rendered(name, lang, other)
    text.encode("utf-8")
    assert text.startswith("<!DOCTYPE html>\n<html ")
    found = taken(name, lang, other)
    assert found.wrong == []
    assert outside(found) == []
    assert running(found) == []
    ids = Counter(given["id"] for _, given in found.elements if "id" in given)
    assert [key for key, count in ids.items() if count > 1] == []
    pointed = [key for _, given in found.elements for key in (given.get("aria-labelledby") or "").split()]
    pointed += [(given["href"] or "")[1:] for given in found.of("a")]
    assert set(pointed) <= set(ids)
    assert len(text) < 300_000


def test_what_would_be_found_on_a_bad_page_is_found() -> None:
    good = rendered("npu")
    for broken in ("</p>", "<b>", "<p><b></p></b>", '<p id="a" id="b"></p>', "<p/>"):
        assert seen(good.replace("<main>", f"<main>{broken}")).wrong
    for fetching in (
        '<img src="http://example.org/x.png">',
        '<a href="https://example.org">x</a>',
        '<img src="//example.org/x">',
        '<link href="x.css">',
        '<image xlink:href="x.png"></image>',
    ):
        assert outside(seen(good.replace("<main>", f"<main>{fetching}")))
    assert outside(seen(good.replace("<style>", "<style>@import 'x';")))
    assert outside(seen(good.replace("<style>", "<style>a{background:url(x)}")))
    assert outside(seen(good.replace("<main>", '<main style="background:url(x)">')))
    assert running(seen(good.replace("<main>", "<main><script></script>")))
    assert running(seen(good.replace("<main>", '<main onclick="x">')))


@pytest.mark.parametrize("lang", LANGS)
def test_the_head_forbids_what_is_external_and_names_the_language(lang) -> None:
    found = taken("npu", lang)
    assert [given["lang"] for given in found.of("html")] == [{"en": "en", "zh": "zh-Hans"}[lang]]
    (policy,) = [given["content"] for given in found.of("meta") if given.get("http-equiv")]
    assert policy is not None
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.of("meta")


@pytest.mark.parametrize("lang", LANGS)
def test_hostile_names_are_text_and_nothing_else(lang) -> None:
    text = rendered("hostile", lang)
    assert "<script" not in text
    assert "<img src=http" not in text
    assert not any(letter in text for letter in "\u202e\x00\ud800")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&gt;" in text
    assert "<bdi>" in text  # what runs from right to left is kept apart
    assert "咖啡" in text


def test_markup_escapes_whatever_is_no_markup() -> None:
    made = markup.element("p", {"title": '"<\n', "class": None, "x": 1.25}, "<b>", markup.Markup("<i></i>"))
    assert made == '<p title="&quot;&lt; " x="1.2">&lt;b&gt;<i></i></p>'
    assert markup.joined(["a", "<"], " ") == "a &lt;"
    with pytest.raises(AssertionError):
        markup.number(math.nan)


# ---- what it says


def cells(record: ReportRecord, lang: str, other: ReportRecord | None = None) -> Iterator[list[list[str]]]:
    for section in sections(record, other):
        for table in section.tables:
            yield [[said(lang, cell) for cell in row] for row in (table.header, *table.rows)]


@EVERY
def test_tables_are_those_of_every_other_rendering(name, lang, other) -> None:
    expected = list(cells(RECORDS[name](), lang, RECORDS[other]() if other else None))
    shown = [[[plain(c) for c in row] for row in table] for table in expected]
    assert [[[plain(c) for c in row] for row in t] for t in taken(name, lang, other).tables] == shown
    assert sum(map(len, expected)) > 20


def plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def test_a_figure_that_differs_would_be_seen() -> None:
    expected = list(cells(report_records.example(), "en"))
    record = report_records.example()
    other = replace(record, facts=replace(record.facts, parameters=record.facts.parameters + 1))
    assert seen(html(other)).tables != expected == taken("npu").tables


@EVERY
def test_every_section_stands_there_in_order_with_its_texts(name, lang, other) -> None:
    record = RECORDS[name]()
    whole = sections(record, RECORDS[other]() if other else None)
    found = taken(name, lang, other)
    keys = [section.key for section in whole if section.key != card_html.TOP]
    assert [given["id"] for given in found.of("section")] == keys
    assert [given["href"] for given in found.of("a")] == [f"#{key}" for key in keys]
    for section in whole:
        if section.key != card_html.TOP:
            assert plain(said(lang, section.title)) in found.body


CAUTIONS = {"npu": ("simulated", "seeded"), "cpu": ()}


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", CAUTIONS)
def test_cautions_are_the_first_thing_said(name, lang) -> None:
    record = RECORDS[name]()
    told = [
        said(lang, part.text) for section in sections(record) if section.key == "cautions" for part in section.parts
    ]
    assert len(told) == len(CAUTIONS[name])
    body = taken(name, lang).body.strip()
    assert body.startswith("".join(told))
    assert (plain(said(lang, Text("caution.simulated", {"device": ""})))[:4] in body) == ("simulated" in CAUTIONS[name])


def test_random_inputs_are_said_before_the_title() -> None:
    record = report_records.cpu_example()
    trial = replace(record.trial, inputs=replace(record.trial.inputs, kind="random", seeds=(1, 2)))
    body = seen(html(replace(record, trial=trial))).body
    assert "random" in body[: body.index(record.facts.title)]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", ["npu", "cpu"])
def test_the_figures_at_the_top_are_those_of_the_tables(name, lang) -> None:
    text = rendered(name, lang)
    top = [re.sub("<[^>]*>", "", value) for value in re.findall(r"<dd><b>(.*?)</b>", text)]
    assert len(top) == 5
    stated = " ".join(cell for table in taken(name, lang).tables for row in table for cell in row).split()
    assert [value for value in top if value not in stated] == []


def test_the_verdict_is_said_in_words_and_by_a_mark_of_its_own() -> None:
    badges = {name: re.findall(r'class="verdict (\w+)".*?class="sign"[^>]*>(.)<', rendered(name)) for name in RECORDS}
    assert badges["passing"] == [("pass", "✓")]
    assert badges["lowered"] == [("fail", "✕")]
    assert badges["limited"] == [("limited", "!")]
    assert badges["inconclusive"] == badges["unverdicted"] == [("inconclusive", "?")]


def chart(text: str) -> list[tuple[str, str]]:
    """Return the lines of the precision chart: each class, and what is said of it."""
    return re.findall(r'<li class="([\w ]+)"><span class="class">([\w.]+)', text)


def test_the_chart_is_read_down_to_the_class_that_was_met() -> None:
    coarse = [("read", "bfloat16"), ("read", "float16")]
    assert chart(rendered("passing")) == [*coarse, ("read", "hf32"), ("read met required", "float32")]
    assert chart(rendered("lowered")) == [*coarse, ("read met", "hf32"), ("unread required", "float32")]
    assert {css.split()[0] for css, _ in chart(rendered("unverdicted"))} == {"unread"}


# ---- plots and pictures


@EVERY
def test_drawings_are_finite_and_described(name, lang, other) -> None:
    found = taken(name, lang, other)
    drawings = [given for given in found.of("svg") if given.get("role") == "img"]
    assert drawings
    assert all(given["tabindex"] == "0" and given["aria-labelledby"] for given in drawings)
    assert len(found.of("desc")) == len(drawings)
    assert all(given.get("aria-hidden") for given in found.of("svg") if given.get("role") != "img")
    numbers = [value for _, given in found.elements for key, value in given.items() if key in PLACES]
    numbers += [n for given in found.of("path") for n in re.split(r"[MLZh ]+", given["d"] or "") if n]
    assert len(numbers) > 100
    assert all(-400 < float(value or "nan") < 1000 for value in numbers)
    assert all(given.get("alt") is not None for given in found.of("img"))


def drawing(text: str, key: str) -> str:
    """Return one drawing of a page."""
    (found,) = re.findall(rf'<svg[^>]*aria-labelledby="{key}-title .*?</svg>', text, re.DOTALL)
    return found


def test_speed_is_drawn_at_every_batch_size_with_its_spread() -> None:
    for key in ("latency", "throughput"):
        drawn = drawing(rendered("npu"), key)
        labels = re.findall(r'class="tick" text-anchor="middle">(\d+)<', drawn)
        assert labels == ["1", "2", "4", "8"]
        marks = Counter(
            re.findall(r'class="(disc candidate|sure candidate|spread candidate|triangle baseline)"', drawn)
        )
        assert marks == dict.fromkeys(("disc candidate", "sure candidate", "spread candidate", "triangle baseline"), 4)


def test_another_card_is_drawn_beside_with_marks_of_its_own() -> None:
    assert "diamond other" not in drawing(rendered("npu"), "latency")
    drawn = rendered("npu", "en", "cpu")
    assert drawing(drawn, "latency").count("diamond other") == 4
    assert "openvino, float32" in drawn


def test_every_sample_is_drawn() -> None:
    record = report_records.example()
    samples = tuple(10 + number / 7 for number in range(50))
    point = replace(record.bench.points[0], samples_ms=samples, latency=report_records.latency(samples), rounds=(50,))

    def drawn(one) -> int:
        text = html(replace(record, bench=replace(record.bench, points=(one,))))
        return len(re.findall(r"M[\d.]+ [\d.]+h0", drawing(text, "samples")))

    assert drawn(point) == 50
    assert drawn(replace(point, samples_ms=samples[1:], rounds=(49,))) == 49


def test_an_outlier_is_told_of_and_flattens_nothing() -> None:
    record = report_records.example()
    samples = (*[10.0] * 20, 400.0)
    point = replace(record.bench.points[0], samples_ms=samples, latency=report_records.latency(samples), rounds=(21,))
    bench = replace(record.bench, points=(point,), baseline=None)
    drawn = drawing(html(replace(record, bench=bench)), "latency")
    assert "arrow candidate" in drawn
    assert "400" not in drawn
    assert "arrow candidate" not in drawing(rendered("npu"), "latency")


def test_nothing_measured_draws_nothing() -> None:
    record = report_records.example()
    text = html(replace(record, bench=replace(record.bench, points=(record.bench.points[-1],), baseline=None)))
    assert "latency-title" not in text
    assert "latency-title" in rendered("npu")


def test_drift_has_a_floor_limits_and_the_first_culprit() -> None:
    text = rendered("lowered")
    free, alone = drawing(text, "drift-cumulative"), drawing(text, "drift-isolated")
    for drawn in (free, alone):
        assert drawn.count("disc candidate") == 14
        assert 'class="floor"' in drawn
        assert "first culprit: patches" in drawn
    assert alone.count('class="limit"') == 14
    assert 'class="limit"' not in free
    assert "culprit" not in drawing(rendered("passing"), "drift-isolated")


def test_a_runtime_without_stages_shows_the_floor_alone_and_says_so() -> None:
    drawn = drawing(rendered("stageless"), "drift-isolated")
    assert "disc candidate" not in drawn
    assert 'class="floor"' in drawn
    assert "shows no stages" in drawn
    assert "drift-isolated" not in rendered("featureless")


def test_what_is_not_finite_is_a_cross_at_the_top() -> None:
    drawn = drawing(rendered("nonfinite"), "drift-isolated")
    assert drawn.count("cross broken") == 8
    assert drawn.count("disc candidate") == 6
    assert "cross broken" in drawing(rendered("nonfinite"), "ladder")
    assert "cross broken" not in rendered("passing")


def test_the_ladder_has_a_row_for_each_output_and_a_shape_for_each_class() -> None:
    drawn = drawing(rendered("passing"), "ladder")
    for shape in ("disc candidate", "ring reference", "square reference", "triangle reference", "diamond reference"):
        assert drawn.count(shape) == 4


def test_a_histogram_shows_shares_and_says_what_is_not_drawn() -> None:
    text = rendered("npu")
    drawn = drawing(text, "histogram-1")
    assert "mass candidate" in drawn
    assert "curve reference" in drawn
    assert "Of 8,872 elements 12 without any error and 0 with errors below 1e-7 are not drawn." in text
    empty = Histogram(output="cls", edges=(1e-7, 1e-6), candidate=(0,), reference=(0,), zeros=0)
    assert "histogram-1" not in html(report_records.example(histograms=(empty,)))
    zeros = replace(empty, zeros=5)
    assert "histogram-1" in html(report_records.example(histograms=(zeros,)))


def test_a_thin_tail_of_tiny_errors_is_left_out_and_counted_but_no_large_one() -> None:
    edges = tuple(10.0**power for power in range(-12, 0))
    counts = (1, 0, 0, 0, 0, 5000, 4000, 997, 0, 1, 1)
    found = Histogram(output="cls", edges=edges, candidate=counts, reference=counts, zeros=3)
    text = html(report_records.example(histograms=(found,)))
    assert "Of 10,003 elements 3 without any error and 1 with errors below 1e-7 are not drawn." in text
    labels = re.findall(r'text-anchor="(?:middle|end)">(1e-\d+|0\.\d+)<', drawing(text, "histogram-1"))
    assert (labels[0], labels[-1]) == ("1e-7", "0.1")
    tail = replace(found, candidate=(500, *counts[1:]))
    assert "errors below" not in html(report_records.example(histograms=(replace(tail, zeros=0),)))


def test_figures_of_speed_give_way_to_the_baseline() -> None:
    record = report_records.example()
    base = record.bench.baseline
    assert base is not None
    same = replace(base, points=tuple(point for point in record.bench.points if point.latency))

    def figures(baseline) -> int:
        bench = replace(record.bench, baseline=baseline)
        return drawing(html(replace(record, bench=bench)), "throughput").count('class="value"')

    assert figures(base) == figures(None) == 4
    double = tuple(replace(p, images_per_s=1.06 * (p.images_per_s or 0)) for p in same.points)
    assert figures(replace(base, points=double)) == 4  # below the marks instead


def test_pictures_stand_side_by_side_with_a_heat_map_and_its_range() -> None:
    from PIL import Image

    record = report_records.example()
    (pca,) = record.pca
    found = taken("npu")
    shown = [given for given in found.of("img") if given.get("class") != "ramp"]
    assert [(given["src"] or "").split(",")[1] for given in shown[:3]] == [
        pca.photo_jpeg,
        pca.golden_png,
        pca.candidate_png,
    ]
    assert all("cat.jpg" in (given["alt"] or "") for given in shown)
    image = Image.open(io.BytesIO(b64decode((shown[3]["src"] or "").split(",")[1]))).convert("RGB")
    assert image.size == (16, 16)
    most = max(pca.differences)
    assert [image.getpixel((i % 16, i // 16)) for i in range(256)] == [heat.colour(d / most) for d in pca.differences]
    assert "3.991e-4 in the mean, at most 5.200e-4, in row 0, column 6" in found.body
    assert "in the mean, at most" not in seen(html(replace(record, pca=()))).body
    same = html(replace(record, pca=(replace(pca, differences=(0.0,) * 256),)))
    assert "No patch differs" in same
    assert "No patch differs" not in rendered("npu")


def test_the_ramp_grows_lighter_all_the_way() -> None:
    lights = [luminance(heat.colour(share / 50)) for share in range(51)]
    assert lights == sorted(lights)
    assert lights[-1] > 10 * lights[0]


# ---- scales


def test_scales_keep_every_value_between_their_ends() -> None:
    scale = scales.linear([3, 87], 100, 0)
    assert scale.ticks == (0, 25, 50, 75, 100)
    assert [scale.at(value) for value in (0, 50, 100, 1e9, -1)] == [100, 50, 0, 0, 100]
    log = scales.decades([3e-7, 2e-3, None, 0.0], 0, 50, apart=10)
    assert log.ticks == pytest.approx((1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2))
    assert [round(log.at(value), 6) for value in (1e-7, 1e-2, 0.0, 1e300)] == [0, 50, 0, 50]
    assert len(scales.decades([1e-18, 1e18], 0, 100, apart=30).ticks) <= 4
    assert scales.decades([], 0, 1, apart=1).at(0.1) == pytest.approx(0.5)
    assert scales.linear([], 0, 10).at(0) == 0
    assert scales.fitting([1, 19], 0, 1).log is False
    wide = scales.fitting([468, 10_200], 200, 30)
    assert wide.log is True
    assert wide.ticks == (200, 500, 1000, 2000, 5000, 10_000, 20_000)
    assert scales.fitting([1, 1e6], 200, 30).ticks == tuple(10.0**power for power in range(7))


def test_scales_of_batch_sizes_and_ratios() -> None:
    doubling = scales.doubling([8, 1, 2, 4, 4], 0, 30)
    assert [doubling.at(tick) for tick in doubling.ticks] == pytest.approx([0, 10, 20, 30])
    assert scales.doubling([4], 0, 30).at(4) == pytest.approx(15)
    tight = scales.around_one([0.999, 1.001], 46, 0, apart=11)
    assert 1.0 in tight.ticks
    assert len(tight.ticks) >= 2
    wide = scales.around_one([0.9, 40.0], 46, 0, apart=11)
    places = [wide.at(tick) for tick in wide.ticks]
    assert min(abs(a - b) for a in places for b in places if a != b) >= 11
    assert scales.thinned([0, 5, 10, 15, 20], 10) == (0, 2, 4)


# ---- colours


def luminance(colour: tuple[int, int, int]) -> float:
    parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, two: str) -> float:
    """Return the contrast of two colours, as the Web Content Accessibility Guidelines define it."""
    lights = sorted(luminance(tuple(bytes.fromhex(c.removeprefix("#")))) for c in (one, two))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def schemes() -> list[dict[str, str]]:
    """Return the colours of the light scheme and of the dark one."""
    style = Path(page.__file__).with_name("style.css").read_text(encoding="utf-8")
    return [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_letters_and_lines_stand_out_in_both_schemes(scheme) -> None:
    found = schemes()
    assert len(found) == 2
    assert found[0].keys() == found[1].keys()
    colours = found[scheme]
    for ground in ("paper", "sheet"):
        for letters in ("ink", "soft", "limit", "pass", "warn", "fail", "unread"):
            assert contrast(colours[letters], colours[ground]) >= 4.5, (letters, ground)
        for lines in ("candidate", "reference", "other", "baseline"):
            assert contrast(colours[lines], colours[ground]) >= 3, (lines, ground)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_style_knows_print_dark_and_narrow_screens() -> None:
    style = Path(page.__file__).with_name("style.css").read_text(encoding="utf-8")
    assert "@media print" in style
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert "</" not in style
    used = set(re.findall(r"var\(--(\w+)", style)) - {"columns", "rows"}
    assert used == {*schemes()[0], "serif", "sans", "mono"}


# ---- phrases


def test_texts_of_the_page_have_the_same_keys_and_values_in_both_languages() -> None:
    assert en_page.PHRASES.keys() == zh_page.PHRASES.keys()
    for key, text in en_page.PHRASES.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", zh_page.PHRASES[key])), key


def test_a_mark_has_a_shape_that_is_known() -> None:
    for shape in ("disc", "ring", *svg.SHAPES):
        assert shape in svg.mark(shape, (1.0, 2.0), "x")


# ---- screenshots

FINE = {
    "width": 390,
    "scrollWidth": 390,
    "height": 900,
    "sticking": [],
    "cut": [],
    "over": [],
    "blank": [],
    "smallest": 10.5,
}
OWN = {
    "method": "Network.requestWillBeSent",
    "params": {"request": {"url": "file:///x/index.html"}, "type": "Document"},
}
HARMLESS = [
    OWN,
    {"method": "Network.requestWillBeSent", "params": {"request": {"url": "data:image/png;base64,x"}, "type": "Image"}},
    {"method": "Runtime.consoleAPICalled", "params": {"type": "log", "args": []}},
]


def event(method: str, **values: object) -> list[dict[str, object]]:
    return [{"method": method, "params": values}]


WRONG = {
    "wide": ({"scrollWidth": 391}, []),
    "sticking": ({"sticking": ["table x"]}, []),
    "cut": ({"cut": ["text x"]}, []),
    "over": ({"over": ["text x / text y"]}, []),
    "blank": ({"blank": ["a cat"]}, []),
    "small": ({"smallest": 6.0}, []),
    "network": ({}, event("Network.requestWillBeSent", request={"url": "https://example.org/x"}, type="Image")),
    "file": ({}, event("Network.requestWillBeSent", request={"url": "file:///x/y.css"}, type="Stylesheet")),
    "script": ({}, event("Runtime.exceptionThrown", exceptionDetails={"text": "x"})),
    "console": ({}, event("Runtime.consoleAPICalled", type="error", args=["x"])),
    "browser": ({}, event("Log.entryAdded", entry={"level": "error", "text": "x"})),
}


def test_a_page_that_looks_right_has_no_problems() -> None:
    assert list(screenshots.problems(FINE, HARMLESS)) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_page_is_said(name) -> None:
    measured, events = WRONG[name]
    assert len(list(screenshots.problems({**FINE, **measured}, [*HARMLESS, *events]))) == 1


def test_without_a_browser_the_way_to_one_is_said(monkeypatch, capsys, tmp_path) -> None:
    path = tmp_path / "index.html"
    path.write_text("<p>", encoding="utf-8")
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["screenshots.py", str(path), "-o", str(tmp_path / "out")])
    assert screenshots.main() == 2
    assert "apt-get install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pages_have_names_of_their_own() -> None:
    paths = [Path("cards/a/index.html"), Path("cards/b/index.html"), Path("cards/b/index.zh-CN.html")]
    assert list(screenshots.names_of(paths)) == ["a", "b-index", "b-index.zh-CN"]
