"""Which images are meant: what was named becomes a stream of inputs, in a stable order.

In: files, folders, patterns, lists, archives, Parquet files, remote addresses, or - for paths on stdin. Out: an input
for every image. Nothing is dropped: a path that does not exist, a gap in a list, the rest of a damaged archive are
inputs too, whose outcome says what they are. Names given twice stay twice. Nothing is kept of what was given already.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from snellen.embed.sources import folders
from snellen.embed.sources.names import PACKED, SUFFIXES, ending, is_remote, local, named, printable
from snellen.embed.sources.reading import stream, table
from snellen.errors import ImageError, UsageError
from snellen.records.inputs import Input

Say = Callable[[str], None]

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
LISTS = (".txt", ".csv")
ARCHIVES = (".tar", ".parquet")


def _nothing(_message: str) -> None:
    pass


def expand(sources: Iterable[str], stdin: BinaryIO, say: Say = _nothing) -> Iterator[Input]:
    """Yield the inputs that ``sources`` mean, in the order of the sources.

    ``say`` is told what was decided for a folder that holds more than images. Raises UsageError for what holds no
    images, matches nothing or cannot be understood, and Unavailable where a remote address cannot be listed.
    """
    known: set[str] = set()
    for source in sources:
        for item in _source(source, stdin, say):
            if item.kind == "url" and (kind := item.place.partition("://")[0]) not in known:
                from snellen.embed.sources import remote

                remote.file_system(item.place)  # what is not installed is said before anything is begun
                known.add(kind)
            yield item


def paths(sources: Iterable[str], stdin: BinaryIO) -> Iterator[str]:
    """Yield the local files that ``sources`` mean; raise UsageError for images that are no files of their own."""
    for item in expand(sources, stdin):
        if item.kind != "file":
            seen = f"{item.path!r} is not a local file of its own"
            raise UsageError(seen, expected="files, folders, patterns, or lists of them", todo="download or unpack it")
        yield item.place


def _source(source: str, stdin: BinaryIO, say: Say) -> Iterator[Input]:
    if source == "-":
        from snellen.embed.sources import lists

        return _some(lists.lines(stdin, ""), "the list on stdin is empty", "paths of images, one a line")
    place, column = _split(local(source))
    if not os.path.lexists(place):
        if RANGE.search(place):
            return (item for each in _ranges(place) for item in _source(_joined(each, column), stdin, say))
        if is_remote(place):
            return _remote(place, column, say)
        if glob.has_magic(place):
            return _pattern(folders.matching(place), place, column)
    return _folder(folders.walk(place), place, column, say) if os.path.isdir(place) else _one(place, column)


def _split(source: str) -> tuple[str, str | None]:
    """Return the place and the column that is named behind ::, if one is."""
    place, found, column = source.rpartition("::")
    is_column = found and column and "/" not in column and not os.path.lexists(source)
    if is_column and (ending(place) in (".csv", ".parquet") or os.path.isdir(place)):
        return place, column
    return source, None


def _joined(place: str, column: str | None) -> str:
    return place if column is None else f"{place}::{column}"


def _ranges(place: str) -> Iterator[str]:
    """Yield what a place with {000..099} in it stands for; the last range counts fastest."""
    found = RANGE.search(place)
    if found is None:
        yield place
        return
    first, last = found[1], found[2]
    if int(first) > int(last):
        raise UsageError(
            f"the range {found[0]} in {place!r} is empty", expected="a range upwards", todo="turn it round"
        )
    for number in range(int(first), int(last) + 1):
        shown = str(number).zfill(len(first)) if first.startswith("0") else str(number)
        yield from _ranges(place[: found.start()] + shown + place[found.end() :])


def _remote(place: str, column: str | None, say: Say) -> Iterator[Input]:
    from snellen.embed.sources import remote

    if remote.has_magic(place):
        return _pattern(remote.below(place), place, column)
    if ending(place) not in (*SUFFIXES, *LISTS, *ARCHIVES) and remote.is_folder(place):
        return _folder(remote.below(place), place, column, say)
    return _one(place, column)


def _pattern(found: Iterator[str], pattern: str, column: str | None) -> Iterator[Input]:
    """Yield what the files that match a pattern stand for: a list among them is no list, unless it is named itself."""
    _refuse(pattern)
    items = (item for place in found for item in (_one(place, column) if _is_archive(place) else [named(place)]))
    return _some(items, f"the pattern {printable(pattern)!r} matches no file", "a pattern such as 'photos/**/*.jpg'")


def _one(place: str, column: str | None) -> Iterator[Input]:
    """Yield what one file stands for, told by its ending."""
    end = ending(place)
    _refuse(place)
    if end in LISTS:
        found = _list(place, column)
        return _some(
            found, f"the list {printable(place)!r} is empty", "paths of images, one a line, or a column of them"
        )
    if end in ARCHIVES:
        found = (_archive(place) if end == ".tar" else _table(place, column, found=False)) or iter(())
        return _some(found, f"{printable(place)!r} holds no images", "images, their names ending in .jpg ..., or rows")
    return iter([named(place)])


def _is_archive(place: str) -> bool:
    return ending(place) in ARCHIVES


def _refuse(place: str) -> None:
    """Raise UsageError for kinds of files that hold images and are not read."""
    if ending(place) in PACKED:
        from snellen.embed.sources import tars

        raise tars.compressed(printable(place))
    if ending(place) == ".arrow":
        raise UsageError(
            f"{printable(place)!r} is an Arrow file, as a Hugging Face data set is saved to disk",
            expected="Parquet files, whose rows can be read by themselves",
            todo="datasets.load_from_disk(FOLDER).to_parquet('data.parquet'), and name that",
        )


def _list(place: str, column: str | None) -> Iterator[Input]:
    from snellen.embed.sources import lists

    try:
        file = stream(place)
    except ImageError as error:
        seen = f"the list cannot be read: {error.seen}"
        raise UsageError(seen, expected="a file with a path in every line or row", todo=error.todo) from error
    with file:
        yield from lists.rows(file, place, column) if ending(place) == ".csv" else lists.lines(file, place)


def _archive(place: str) -> Iterator[Input]:
    from snellen.embed.sources import tars

    try:
        file = stream(place)
    except ImageError:
        yield named(place)  # reading it says what is wrong with it
        return
    with file:
        yield from tars.images(place, file)


def _table(place: str, column: str | None, *, found: bool) -> Iterator[Input] | None:
    from snellen.embed.sources import tables

    try:
        file = table(place)[0]
    except ImageError:
        return iter([named(place)])
    return tables.rows(file, place, column, found=found)


def _folder(found: Iterator[str], folder: str, column: str | None, say: Say) -> Iterator[Input]:
    """Yield what a folder stands for: its images, and those in its archives and in its Parquet files of images."""
    taken: Counter[str] = Counter()
    left: Counter[str] = Counter()
    empty = True
    for place in found:
        for item in _in_folder(place, column, taken, left):
            empty = False
            yield item
    shown = printable(folder)
    if empty:
        if left["Arrow"]:
            _refuse(os.path.join(folder, "*.arrow"))
        why = f"; {_listing(left)} in it are not read" if left else ""
        raise UsageError(
            f"the folder {shown!r} holds no images{why}",
            expected="files ending in .jpg ..., .tar, or .parquet with images",
            todo="check the spelling, or name the files themselves",
        )
    if taken["image"] and len(taken) > 1:
        say(f"the folder {shown!r} holds {_listing(taken)}: the images in them are taken as well")
    if left:
        say(f"the folder {shown!r} holds {_listing(left)}: left out; name a Parquet file to use it as a list of paths")


def _in_folder(place: str, column: str | None, taken: Counter[str], left: Counter[str]) -> Iterator[Input]:
    end = ending(place)
    if end in SUFFIXES or place.endswith("/"):  # a folder that cannot be read is an input that says so
        taken["image"] += 1
        return iter([named(place)])
    if end == ".tar":
        taken["archive"] += 1
        return _archive(place)
    if end == ".parquet":
        rows = _table(place, column, found=column is None)
        (left if rows is None else taken)["Parquet file" if rows else "Parquet file without images"] += 1
        return rows or iter(())
    if ending(place) in PACKED:
        left["compressed archive"] += 1
    elif end == ".arrow":
        left["Arrow"] += 1
    return iter(())


def _listing(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {kind if count == 1 else _several(kind)}" for kind, count in counts.items())


def _several(kind: str) -> str:
    return kind.replace("file", "files") if "file" in kind else f"{kind}s"


def _some(items: Iterator[Input], seen: str, expected: str) -> Iterator[Input]:
    """Yield ``items``; raise UsageError if there are none."""
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise UsageError(seen, expected=expected, todo="check the spelling, or name the files themselves")
