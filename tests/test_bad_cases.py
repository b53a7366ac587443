"""Every bad input of the table gives its message: what was seen, what was expected, what to do next.

Nothing is run that a file asks for, nothing is left on the disk, and no traceback is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from bad_cases import ANYTHING, ROWS, Place, Row
from bad_cases.making import folder, photo
from bad_cases.table import Call
from snellen.cli.main import cli, main
from snellen.errors import SnellenError, UnknownName

LEAST = 40


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty folder to work in, and a home and a cache beside it."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SNELLEN_MODELS", "MODELSCOPE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "home" / "cache"))
    monkeypatch.chdir(tmp_path / "work")
    with ExitStack() as stack:
        yield Place(tmp_path / "work", monkeypatch, stack.enter_context)


def plain(text: str, place: Place) -> str:
    """Replace what differs from run to run."""
    return re.sub(r"127\.0\.0\.1:\d{4,}", "127.0.0.1:PORT", text.replace(str(place.path.parent), "DIR"))


def same(expected: str, got: str) -> bool:
    """Compare a text with one that may have gaps."""
    pattern = ".*".join(map(re.escape, expected.split(ANYTHING)))
    return re.fullmatch(pattern, got, re.DOTALL) is not None


def raised(call: Call, monkeypatch: pytest.MonkeyPatch) -> BaseException | None:
    """Make the call, a command line through ``main`` as a user does, and return what was raised."""
    errors: list[BaseException] = []
    inner = call if callable(call) else cli.main

    def watched(*args: object, **settings: object) -> object:
        try:
            return inner(*args, **settings)
        except (SnellenError, click.ClickException) as error:
            errors.append(error)
            raise

    if callable(call):
        with pytest.raises(SnellenError):
            watched()
    else:
        monkeypatch.setattr(cli, "main", watched)
        code = main(call)
        assert code == getattr(errors[0], "exit_code", 2) if errors else code
    return errors[0] if errors else None


def left(place: Place) -> set[str]:
    """List what is in the working folder."""
    return {str(path.relative_to(place.path)) for path in place.path.rglob("*")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bad_input_gives_its_message(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    call = row.call(place)
    before = left(place)
    capsys.readouterr()
    error = raised(call, place.patch)
    out, err = capsys.readouterr()
    assert isinstance(error, row.kind)
    if isinstance(error, SnellenError):
        assert same(row.message, plain(str(error), place)), str(error)
        assert callable(call) or err == f"error: {error}\n"
    else:
        assert same(row.seen, err), err
    assert "Traceback" not in err
    assert out == ""
    assert left(place) == before  # no half-written file, and nothing that a trap would have made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_message_has_its_three_parts(row: Row) -> None:
    if issubclass(row.kind, click.ClickException):
        assert "Try 'snellen" in row.seen
        assert "Error: " in row.seen
        return
    assert row.seen
    assert row.todo
    assert bool(row.expected) != (row.evident or issubclass(row.kind, UnknownName))


def test_the_table_is_large_and_names_every_row_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= LEAST


def test_gaps_do_not_hide_everything() -> None:
    """A gap stands for words of others, never for the whole of what was seen."""
    assert all(len(row.seen.replace(ANYTHING, "")) > 20 for row in ROWS if ANYTHING in row.seen)
    assert same("a … c", "a b c")
    assert not same("a … c", "a b d")


def test_the_trap_springs_where_nobody_guards(place: Place) -> None:
    """The control: unpickled, the object in the table's files does leave something behind."""
    import pickle

    from bad_cases.making import trap

    pickle.loads(trap()).close()  # noqa: S301
    assert left(place) == {"sprung"}


IMAGES = [row for row in ROWS if row.group == "Images"]
LARGE = ("bomb.png", "large.png")


def test_bad_images_neither_stop_nor_shift_the_others(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line each bad image is one line of the table, and its message stands on stderr."""
    for row in IMAGES:
        row.call(place)
    bad = sorted(path.name for path in place.path.iterdir() if path.is_file())
    good = photo(place, "good.png")
    model = folder(place)
    names = [good, *bad, "gone.jpg", good]
    assert main(["embed", *names, "-m", model]) == 1
    out, err = capsys.readouterr()
    rows = out.splitlines()[2:]
    assert [line.split()[0] for line in rows] == names
    assert [line.split()[-1] for line in rows] == [
        "done",
        *("too_large" if name in LARGE else "broken" for name in bad),
        "missing",
        "done",
    ]
    for name in (*bad, "gone.jpg"):
        assert f"{name}: " in err
    assert err.count("  next: ") == len(bad) + 1
