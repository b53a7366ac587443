"""Pictures of patch features: the photograph, the golden, the candidate, and where the two differ.

In: what a report holds of each photograph. Out: figures of a page, all pictures of one at the same size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snellen.records.report import Pca
from snellen.report.html.heat import bar, heat_map
from snellen.report.html.markup import Markup, element
from snellen.report.html.page import figure_of
from snellen.report.phrases import phrase
from snellen.report.sections import figures as say


def pictures(found: Sequence[Pca], lang: str) -> Iterator[Markup]:
    """Yield a figure for each photograph."""
    for pca in found:
        yield _pictures(pca, lang)


def _pictures(pca: Pca, lang: str) -> Markup:
    rows, columns = (*pca.grid, 1, 1)[:2]
    values = _values(pca, columns)
    shown = [
        _picture(lang, "photo", f"data:image/jpeg;base64,{pca.photo_jpeg}", pca, values),
        _picture(lang, "golden", f"data:image/png;base64,{pca.golden_png}", pca, values),
        _picture(lang, "candidate", f"data:image/png;base64,{pca.candidate_png}", pca, values),
    ]
    if pca.differences:
        data = f"data:image/png;base64,{heat_map(pca.differences, columns)}"
        shown.append(_picture(lang, "differences", data, pca, values))
    note = phrase(lang, "page.pictures.note", **values)
    if pca.differences and not any(pca.differences):
        note = f"{note} {phrase(lang, 'page.pictures.same')}"
    title = phrase(lang, "page.pictures", image=pca.image)
    grid = element("div", {"class": "pictures", "style": f"--rows:{rows};--columns:{columns}"}, *shown)
    return figure_of(title, "", grid, note, css="wide")


def _values(pca: Pca, columns: int) -> dict[str, object]:
    """Return what texts about a photograph tell: its grid, the largest difference and where it is, from 0."""
    differences = pca.differences or (0.0,)
    most = max(differences)
    row, column = divmod(differences.index(most), columns)
    return {
        "image": pca.image,
        "grid": say.by(pca.grid),
        "explained": say.listed(map(say.percent, pca.explained)),
        "mean": say.number(sum(differences) / len(differences)),
        "most": say.number(most),
        "row": row,
        "column": column,
    }


def _picture(lang: str, key: str, data: str, pca: Pca, values: dict[str, object]) -> Markup:
    alt = phrase(lang, f"page.pictures.{key}.alt", **values)
    attributes = {"src": data, "alt": alt, "class": "photo" if key == "photo" else "patches"}
    parts = [element("img", attributes), element("figcaption", None, phrase(lang, f"page.pictures.{key}"))]
    if key == "differences":
        parts.append(_scale(lang, max(pca.differences)))
    return element("figure", None, *parts)


def _scale(lang: str, most: float) -> Markup:
    ramp = element("img", {"src": f"data:image/png;base64,{bar()}", "alt": "", "class": "ramp"})
    ends = element("span", {"class": "ends"}, element("span", None, "0"), element("span", None, say.number(most)))
    return element("div", {"class": "scale"}, ramp, ends, element("span", None, phrase(lang, "page.pictures.scale")))
