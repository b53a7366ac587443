"""Look at cards as people see them: on a phone and on a desk, in light and in dark, and on paper.

    python tools/screenshots.py                     every page under docs/cards
    python tools/screenshots.py CARD/index.html ... these
    ... -o FOLDER                                   where pictures go, else out/screenshots

Out: pictures of each page in each view (PNG), and the page as it is printed (PDF). Exits 1 where something is wider
than the page, letters are cut or lie over others, a picture does not show, a script fails, or anything is asked of a
network; 2 where there is no Chromium.
"""

from __future__ import annotations

import argparse
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))

from browser import Browser, BrowserError, found  # noqa: E402

INSTALL = "apt-get install -y chromium fonts-noto-cjk"
PIECE = 1500  # pixels of a page that go into one picture


@dataclass(frozen=True, slots=True)
class View:
    """How a page is looked at."""

    name: str
    width: int
    height: int
    scale: int  # device pixels a pixel
    dark: bool


VIEWS = (
    View("phone-light", 390, 844, 2, dark=False),
    View("phone-dark", 390, 844, 2, dark=True),
    View("small-phone-light", 320, 640, 2, dark=False),
    View("desktop-light", 1280, 900, 1, dark=False),
    View("desktop-dark", 1280, 900, 1, dark=True),
)

# What the page looks like from within: its width, what sticks out, pictures without content, and letters of drawings
# that are cut or lie over each other. What scrolls in a box of its own may be wider than the page.
MEASURE = """(room => {
  const named = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + ' ' + e.textContent.trim().slice(0, 40);
  const boxed = e => e.closest('.scroll, pre') && !e.matches('.scroll, pre');
  const out = [...document.body.querySelectorAll('*')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && !boxed(e) && (box.right > room + 1 || box.left < -1);
  });
  const cut = [], over = [];
  for (const svg of document.querySelectorAll('svg[role=img]')) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(e => [e, e.getBoundingClientRect()]);
    for (const [e, b] of texts) {
      if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1)
        cut.push(named(e));
    }
    const level = texts.filter(([e]) => !e.hasAttribute('transform'));
    level.forEach(([a, p], i) => level.slice(i + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 3) over.push(named(a) + ' / ' + named(b));
    }));
  }
  return {
    width: room, scrollWidth: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight, sticking: out.slice(0, 5).map(named), cut, over,
    blank: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt || i.className),
    smallest: Math.min(...[...document.querySelectorAll('svg[role=img] text')].map(
      e => parseFloat(getComputedStyle(e).fontSize) * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b)), 99),
  };
})(%d)"""
LEGIBLE = 9.0  # pixels: letters of drawings are never smaller


def problems(seen: dict[str, Any], events: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with a page, from what was measured within it and what the browser told."""
    if seen["scrollWidth"] > seen["width"]:
        yield f"the page is {seen['scrollWidth']} wide where there is room for {seen['width']}"
    told = {
        "sticking": "sticks out of the page",
        "cut": "is cut",
        "over": "lie over each other",
        "blank": "does not show",
    }
    for key, what in told.items():
        yield from (f"{name!r} {what}" for name in seen[key])
    if seen["smallest"] < LEGIBLE:
        yield f"letters of {seen['smallest']:.1f} pixels in a drawing"
    for event in events:
        yield from _told(event.get("method", ""), event.get("params", {}))


def _told(method: str, values: dict[str, Any]) -> Iterator[str]:
    """Yield what an event says: a request, an error of a script, or one of the browser about the page."""
    if method == "Network.requestWillBeSent":
        address = values["request"]["url"]
        if not address.startswith(("data:", "file:")):
            yield f"asks for {address}"
        elif address.startswith("file:") and values.get("type") != "Document":
            yield f"asks for another file: {address}"
    elif method == "Runtime.exceptionThrown":
        yield f"a script failed: {values['exceptionDetails'].get('text')}"
    elif method == "Runtime.consoleAPICalled" and values.get("type") in ("error", "warning", "assert"):
        yield f"the console says: {values['args']}"
    elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
        yield f"the browser says: {values['entry']['text']}"


class Page:
    """One page in a browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, view: View) -> None:
        """Load a file and look at it in a view."""
        dark = "dark" if view.dark else "light"
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": dark}])
        size = {"width": view.width, "height": view.height, "deviceScaleFactor": view.scale}
        self._call("Emulation.setDeviceMetricsOverride", mobile=view.width < 600, **size)
        self._browser.taken()
        self._call("Page.navigate", url=path.absolute().as_uri())
        self._browser.wait("Page.loadEventFired")

    def seen(self, view: View) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what is measured within the page, and the events since it was opened."""
        value = self._call("Runtime.evaluate", expression=MEASURE % view.width, returnByValue=True)["result"]["value"]
        return value, self._browser.taken()

    def pictures(self, view: View, height: int) -> Iterator[bytes]:
        """Yield the whole page from top to bottom, as PNG."""
        for top in range(0, height, PIECE):
            clip = {"x": 0, "y": top, "width": view.width, "height": min(PIECE, height - top), "scale": 1}
            shot = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            yield b64decode(shot["data"])

    def printed(self) -> bytes:
        """Return the page on paper, as a PDF."""
        return b64decode(self._call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"])

    def _call(self, method: str, **values: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **values)


def looked_at(page: Page, path: Path, name: str, folder: Path) -> list[str]:
    """Write the pictures of a page in every view; return what is wrong with it."""
    wrong = []
    for view in VIEWS:
        page.open(path, view)
        seen, events = page.seen(view)
        wrong += [f"{name}, {view.name}: {problem}" for problem in problems(seen, events)]
        for number, picture in enumerate(page.pictures(view, seen["height"]), 1):
            (folder / f"{name}-{view.name}-{number:02}.png").write_bytes(picture)
    (folder / f"{name}.pdf").write_bytes(page.printed())
    return wrong


def names_of(paths: list[Path]) -> dict[str, Path]:
    """Return a name for each page: its folder's, and its own where that is not enough."""
    folders = [path.absolute().parent.name for path in paths]
    return {
        folder if folders.count(folder) == 1 else f"{folder}-{path.stem}": path
        for folder, path in zip(folders, paths, strict=True)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "out" / "screenshots")
    told = parser.parse_args()
    pages = told.pages or sorted((ROOT / "docs" / "cards").rglob("*.html"))
    if not pages:
        print("no page to look at: make one with 'snellen card', or name one", file=sys.stderr)
        return 2
    program = found()
    if program is None:
        print(f"there is no Chromium here: {INSTALL}", file=sys.stderr)
        return 2
    told.output.mkdir(parents=True, exist_ok=True)
    wrong = []
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(program, Path(profile)) as browser:
            page = Page(browser)
            for name, path in names_of(pages).items():
                wrong += looked_at(page, path, name, told.output)
    except BrowserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    print("\n".join(wrong) or f"{len(pages)} pages in {len(VIEWS)} views: nothing is wrong; pictures in {told.output}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
