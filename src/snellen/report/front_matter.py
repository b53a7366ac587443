"""What a model hub reads at the head of a card: licence, library, task, tags, where the weights came from.

In: a report and a language. Out: YAML between two lines of dashes. Every text is written as JSON writes it where it is
not a plain word, which YAML reads alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from snellen.records.report import ReportRecord
from snellen.report.phrases import language
from snellen.report.sections.cautions import told
from snellen.report.sections.parts import said
from snellen.report.sections.places import HARDWARE, TAGS, kind
from snellen.report.text import one_line

TASK = "image-feature-extraction"
LIBRARIES = ("timm", "transformers")
OWN = "snellen"

LICENCES = {
    "Apache-2.0": ("apache-2.0", "", ""),
    "DINOv3 License": (
        "other",
        "dinov3-license",
        "https://ai.meta.com/resources/models-and-libraries/dinov3-license",
    ),
    "Apple Machine Learning Research Model (apple-amlr)": ("apple-amlr", "", ""),
}
"""A licence, what hubs call it, and for one they have no word for its name and where it stands."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")
_TAKEN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML takes for something else."""


def front_matter(record: ReportRecord, lang: str) -> str:
    """Return the front matter; a simulated device, drawn weights and random inputs stand in its first lines."""
    remarks = [f"# {one_line(said(lang, text))}" for text in told(record)]
    return "\n".join(["---", *remarks, *_lines(record, language(lang)), "---"]) + "\n"


def _lines(record: ReportRecord, lang: str) -> Iterator[str]:
    yield "language:"
    yield f"- {lang}"
    yield from _licence(record.facts.licence)
    library = str(record.model.get("library"))
    yield f"library_name: {_quoted(library if library in LIBRARIES else OWN)}"
    yield f"pipeline_tag: {TASK}"
    base = _base(record)
    if base:
        yield f"base_model: {_quoted(base)}"
    place = kind(record)
    if place in HARDWARE:
        yield f"hardware: {_quoted(HARDWARE[place])}"
    yield "tags:"
    tags = (OWN, "vision-encoder", record.facts.family, *TAGS.get(place, (place,)))
    yield from (f"- {_quoted(tag)}" for tag in dict.fromkeys(tag for tag in tags if tag))


def _licence(licence: str | None) -> Iterator[str]:
    if licence is None:
        yield "license: unknown"
        return
    known, name, link = LICENCES.get(licence, ("other", licence, ""))
    yield f"license: {known}"
    if name:
        yield f"license_name: {_quoted(name)}"
    if link:
        yield f"license_link: {_quoted(link)}"


def _base(record: ReportRecord) -> str | None:
    """Return the hub repository of the weights; of a file that of its name, none for drawn weights."""
    origin = record.model["origin"]
    if origin["kind"] in ("hub", "modelscope"):
        return str(origin.get("repo"))
    if origin["kind"] == "seed":
        return None
    return next((name for name in record.facts.names if "/" in name), None)


def _quoted(text: str) -> str:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _TAKEN
    return text if plain else json.dumps(one_line(text), ensure_ascii=False)
