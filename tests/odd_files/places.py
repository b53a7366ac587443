"""Odd names, odd kinds of files, and what is odd in archives, Parquet files and lists."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from odd_files.making import jpeg, picture
from odd_files.table import Table

PLACES = Table("Names and kinds of files")
HELD = Table("In archives, Parquet files and lists")

JPEG = jpeg()
DEVICE, ABSENT = "is a device or a pipe", "does not exist"
row = PLACES.row


@row("a path that does not exist", "gone.jpg", "missing", ABSENT, found=False)
def gone(path: Path) -> None:
    return


@row("a link to an image", "link.jpg", "done")
def link(path: Path) -> None:
    (path.parent / ".linked").write_bytes(JPEG)
    path.symlink_to(".linked")


@row("a link to nothing", "dangling.jpg", "missing", ABSENT)
def dangling(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


@row("a link to itself", "itself.jpg", "broken", "cannot be read")
def itself(path: Path) -> None:
    path.symlink_to(path.name)


@row("a folder named like an image", "folder.jpg", "broken", "is a folder", found=False)
def folder(path: Path) -> None:
    path.mkdir()


@row("a folder with a link back to the folder above", "round/round.jpg", "done")
def around(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "up").symlink_to("..")
    path.write_bytes(JPEG)


@row("a pipe that nobody writes to", "pipe.jpg", "broken", DEVICE)
def pipe(path: Path) -> None:
    os.mkfifo(path)


@row("a link to a device without end", "endless.jpg", "broken", DEVICE)
def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@row("a link to a terminal", "terminal.jpg", "broken", DEVICE)
def terminal(path: Path) -> None:
    path.symlink_to("/dev/null")


@row("a file of 1 TB, nearly all of it a hole", "huge.jpg", "too_large", "has 1099511627776 bytes")
def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(JPEG)
        file.truncate(1 << 40)


for what, name in (
    ("a line break in the name", "two\nlines.jpg"),
    ("a name that is not text", os.fsdecode(b"caf\xe9.jpg")),
    ("a name of 255 bytes", "n" * 251 + ".jpg"),
    ("a name like a pattern", "[a]*{0..9}?.jpg"),
    ("a name with another ending than the image has", "really-a-jpeg.png"),
    ("a name in capitals", "PHOTO.JPEG"),
):
    PLACES.bytes(what, name, JPEG, "done")
PLACES.row("a name that is too long", "n" * 400 + ".jpg", "broken", "cannot be read", found=False)(gone)
PLACES.row("a name with a null byte", "null\0byte.jpg", "broken", "cannot be read", found=False)(gone)


def member(archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(content), "good.jpg"
    archive.addfile(entry, io.BytesIO(content))


def packed() -> bytes:
    """Return an archive of what may be dangerous to unpack."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member(archive, "/etc/absolute.jpg", JPEG)
        member(archive, "../../above.jpg", JPEG)
        member(archive, "empty.jpg")
        member(archive, "soft.jpg", kind=tarfile.SYMTYPE)
        member(archive, "hard.jpg", kind=tarfile.LNKTYPE)
        member(archive, "device.jpg", kind=tarfile.CHRTYPE)
        member(archive, "pipe.jpg", kind=tarfile.FIFOTYPE)
        member(archive, "holes.jpg", kind=tarfile.GNUTYPE_SPARSE)
    return stream.getvalue()


def cut() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member(archive, "cut.jpg", JPEG)
    return stream.getvalue()[:1000]


def rows(path: Path) -> None:
    """Write a Parquet file as Hugging Face data sets have it, with gaps."""
    images = [
        {"bytes": JPEG, "path": None},
        {"bytes": None, "path": "gone.jpg"},
        {"bytes": None, "path": None},
        {"bytes": b"", "path": None},
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    parquet.write_table(pa.table({"image": pa.array(images, kind)}), path)


NAMES = b"path,label\n,no path\nPHOTO.JPEG,good\n"
held = HELD.row
for file, make, inside in (
    (
        "odd.tar",
        packed,
        (
            ("a member with an absolute path", "etc/absolute.jpg", "done", ""),
            ("a member with .. in its path", "../../above.jpg", "done", ""),
            ("an empty member", "empty.jpg", "broken", "is empty"),
            ("a symbolic link in an archive", "soft.jpg", "broken", "is a symbolic link"),
            ("a hard link in an archive", "hard.jpg", "broken", "is a hard link"),
            ("a device in an archive", "device.jpg", "broken", "is a device"),
            ("a pipe in an archive", "pipe.jpg", "broken", "is a pipe"),
            ("a sparse file in an archive", "holes.jpg", "broken", "stored with holes"),
        ),
    ),
    (
        "cut.tar",
        cut,
        (
            ("a member of an archive that is cut short", "cut.jpg", "broken", "is cut short"),
            ("what is behind the cut, whatever it was", "", "broken", "ends there without the mark of its end"),
        ),
    ),
    (
        "rows.parquet",
        rows,
        (
            ("an image in a row of a Parquet file", "image[0]", "done", ""),
            ("a row with a path to nothing", "image[1]", "missing", ABSENT),
            ("a row of nothing", "image[2]", "missing", "names no image"),
            ("a row of no bytes", "image[3]", "broken", "is empty"),
        ),
    ),
    ("noise.parquet", lambda: bytes(999), (("a Parquet file that is none", "", "broken", "damaged or cut short"),)),
    ("noise.tar", lambda: b"\1" * 999, (("an archive that is none", "", "broken", "is damaged from byte 0 on"),)),
    ("list.csv", lambda: NAMES, (("a row of a list without a path", "path[0]", "missing", "names no image"),)),
):
    for what, name, status, says in inside:
        ledger = f"{file}/{name}" if name else file
        held(what, file, status, says, ledger=ledger, found=not file.endswith(".csv"))(make)

GOOD = {
    f"good-{seed}.{end}": (picture(40 + seed, 50, seed), kind)
    for seed, (end, kind) in enumerate([("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")] * 4)
}
