"""What a Markdown card has to say first, and whether its parameters and its files are those that lie there.

In: a card, the cases that were read of it, and the report beside it where there is one. Out: findings with lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from snellen.report.check.card_figures import at
from snellen.report.check.facts import BYTES
from snellen.report.check.folder import sha256
from snellen.report.check.found import Findings, number
from snellen.report.check.reading import Card, Row, Table
from snellen.report.check.stated import Fact, Group
from snellen.report.check.walk import Part
from snellen.report.check.words import SIMULATED, metric_of, pattern, value_of

SAYS_SIMULATED = pattern(r"simulat|模拟|仿真")
DRAWN = pattern(r"\bseed:\d+|weights (are|were) (drawn|random)|(随机|抽取)(初始化|生成)?的?权重|权重(是|为)?随机")
SAYS_DRAWN = pattern(r"drawn|random|not trained|untrained|seed:\d|随机|未训练|未经训练|抽取")
TRAINED = pattern(r"(?<!no )(?<!not )(?<!un)(pre-?)?trained weights|(?<!非)(?<!无)预训练权重")
SAYS_RANDOM = pattern(r"random|随机")
LOOSE = 0.1
"""How far the size of a file may differ from its parameters: headers, a head more or less, units of 1000 or 1024."""
NAMES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp64": "float64"}
FILE = pattern(r"^[`*\s]*(file|name|文件名?)[`*\s]*$")
DIGEST = pattern(r"sha-?256|digest|摘要|校验")
LETTERS = 8
"""Of a digest that is cut short, so many at least are compared."""


def check(card: Card, groups: Sequence[Group], report: Part, folder: Path | None, out: Findings) -> None:
    """Look at what a card says of its origin. ``report``: the document beside it; empty where there is none."""
    _simulated(card, report, out)
    _weights(card, report, out)
    _parameters(groups, out)
    for table in card.tables:
        _files(table, folder, out)


def _simulated(card: Card, report: Part, out: Findings) -> None:
    """Hold the first lines to saying what is not real: the device, the inputs."""
    simulated = report["trial.candidate.simulated"].true or report["bench.simulated"].true
    if simulated or SIMULATED.search(card.text):
        holds = bool(SAYS_SIMULATED.search(card.opening))
        seen = "the device was simulated, and the first lines do not say so"
        out.judge("simulated", at(1), holds=holds, seen=seen, expected="said before anything else")
    elif not report:
        out.skip("simulated", "whether the device was simulated cannot be told from the card")
    if report["trial.inputs.kind"].text == "random":
        holds = bool(SAYS_RANDOM.search(card.opening))
        seen = "the inputs were random pixels, and the first lines do not say so"
        out.judge("simulated", at(1), holds=holds, seen=seen, expected="said before anything else")


def _weights(card: Card, report: Part, out: Findings) -> None:
    """Hold the first lines to saying that weights are drawn, and every other line to not saying otherwise."""
    if report["model.origin.kind"].text != "seed" and not DRAWN.search(card.text):
        if not report:
            out.skip("weights", "where the weights come from cannot be told from the card")
        return
    holds, seen = bool(SAYS_DRAWN.search(card.opening)), "the weights are drawn, and the first lines do not say so"
    out.judge("weights", at(1), holds=holds, seen=seen, expected="said before anything else")
    for line in card.lines:
        if not line.code and TRAINED.search(line.text):
            seen = "trained weights are spoken of"
            out.judge("weights", at(line.number), holds=False, seen=seen, expected="drawn ones, as elsewhere")


def _parameters(groups: Sequence[Group], out: Findings) -> None:
    """Hold a file's size to its parameters, where one case states both, or the card states each once."""
    dtypes = {NAMES.get(one, one) for group in groups if (fact := group.get("dtype")) for one in _words(fact)}
    both = [(g, g.facts["parameters"], g.facts["size"]) for g in groups if {"parameters", "size"} <= g.facts.keys()]
    for group, parameters, size in both:
        own = group.get("dtype")
        _fits(parameters, size, {NAMES.get(one, one) for one in _words(own)} if own else dtypes, out)
    if both:
        return
    counts = {fact.value: fact for group in groups if (fact := group.get("parameters")) is not None}
    sizes = {fact.value: fact for group in groups if (fact := group.get("size")) is not None}
    if len(counts) == 1 and len(sizes) == 1:
        _fits(next(iter(counts.values())), next(iter(sizes.values())), dtypes, out)
    else:
        out.skip("parameters", "the card does not state parameters and the size of their file, once each")


def _words(fact: Fact) -> list[str]:
    words = re.split(r"[\s`,:：/()（）]+", fact.text.lower())
    return [word for word in words if NAMES.get(word, word) in BYTES]


def _fits(parameters: Fact, size: Fact, dtypes: set[str], out: Findings) -> None:
    """Hold bytes over parameters to the dtype, or to any there is where the card names none, or several."""
    if parameters.value <= 0:
        return
    each = size.value / parameters.value
    known = {BYTES[name] for name in dtypes} if len(dtypes) == 1 else set(BYTES.values())
    holds = any(abs(each - one) <= LOOSE * one for one in known)
    named = next(iter(dtypes)) if len(dtypes) == 1 else "any dtype"
    seen = f"{number(parameters.value)} parameters in {number(size.value)} bytes, {each:.3g} each"
    expected = f"{' or '.join(str(one) for one in sorted(known))} each, as {named} has"
    out.judge("parameters", at(parameters.line), holds=holds, seen=seen, expected=expected)


def _files(table: Table, folder: Path | None, out: Findings) -> None:
    """Hold a table of files to those in the folder; what lies elsewhere is not looked for."""
    names = [index for index, label in enumerate(table.header) if FILE.match(label)]
    digests = [index for index, label in enumerate(table.header) if DIGEST.search(label)]
    sizes = [index for index, label in enumerate(table.header) if metric_of(label) == "size"]
    if folder is None or len(names) != 1 or not digests + sizes:
        return
    for row in table.rows:
        path = _path(row, names[0], folder)
        if path is None:
            continue
        if sizes and (value := value_of(row.cells[sizes[0]])) is not None:
            size, stated = path.stat().st_size, value.scaled()
            holds = abs(stated.number - size) <= max(stated.half, 0.5)
            seen = f"{number(stated.number)} bytes"
            out.judge("files", at(row.number), holds=holds, seen=seen, expected=f"{size} bytes")
        given = row.cells[digests[0]].strip("`*. …").lower() if digests else ""
        if len(given) >= LETTERS:
            found = sha256(path)
            out.judge("files", at(row.number), holds=found.startswith(given), seen=given[:16], expected=found[:16])


def _path(row: Row, index: int, folder: Path) -> Path | None:
    """Return the file that a row names, where it lies in the folder."""
    if index >= len(row.cells):
        return None
    name = PurePosixPath(row.cells[index].strip("`* "))
    if name.is_absolute() or ".." in name.parts or not name.parts:
        return None
    path = folder / name
    return path if path.is_file() else None
