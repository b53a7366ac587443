"""Archives (tar, not compressed): where the bytes of their members are. Nothing is ever written to a disk.

In: a stream over the archive. Out: ``members``: name, place and length of each, in the order of the archive;
``Damaged`` says from which byte on it cannot be followed. The headers are walked here, and not by ``tarfile``, which
takes a damaged header in the middle for the end, and reads as much into memory as an archive tells it to.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from snellen.embed.sources.names import SUFFIXES, ending, hidden, printable
from snellen.errors import ImageError, UsageError
from snellen.records.inputs import Input

BLOCK = tarfile.BLOCKSIZE
LONGEST = 1 << 20
"""Most bytes of an extended header; a path needs a few thousand at most."""
ZEROS = 2048
"""Most blocks of zeros that are skipped: behind the mark of the end another archive may follow, put there by cat."""

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")

FILE, SPARSE = "a file", "a file stored with holes (sparse)"
KINDS = {
    **dict.fromkeys(tarfile.REGULAR_TYPES, FILE),
    tarfile.GNUTYPE_SPARSE: SPARSE,
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
EMPTY = ("a hard link", "a symbolic link", "a device", "a pipe", "a folder")
"""Kinds behind whose header no bytes follow, whatever it says."""


class Damaged(Exception):
    """The archive cannot be followed from byte ``at`` on."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


@dataclass(frozen=True, slots=True)
class Member:
    """One member: ``first`` is where its headers begin, ``offset`` where its ``size`` bytes do."""

    name: str
    kind: str
    first: int
    offset: int
    size: int


def images(place: str, file: BinaryIO) -> Iterator[Input]:
    """Yield the images of an archive, named ``place/member``; hidden ones are left out.

    A link, a device, a pipe or a sparse file that is named like an image is an input, too, and so is what follows a
    damaged header: ``explained`` says why there are no bytes. Raises UsageError for an archive that is compressed.
    """
    file.seek(0)
    if file.read(6).startswith(COMPRESSED):
        raise compressed(place)
    try:
        for member in members(file):
            name = member.name.lstrip("/")
            if ending(name) not in SUFFIXES or hidden(name) or member.kind == KINDS[tarfile.DIRTYPE]:
                continue
            path = f"{printable(place)}/{printable(name)}"
            if member.kind == FILE:
                yield Input(path=path, place=place, kind="tar", offset=member.offset, size=member.size)
            else:
                yield Input(path=path, place=place, kind="tar", offset=member.first)
    except Damaged as error:
        yield Input(path=printable(place), place=place, kind="tar", offset=error.at)


def explained(item: Input, file: BinaryIO) -> ImageError:
    """Say why an input of an archive has no bytes; ``file`` is the archive."""
    name, at = repr(item.place), item.offset or 0
    try:
        member = next(members(file, at), None)
    except Damaged as error:
        return ImageError(
            f"the archive {name} is damaged from byte {error.at} on ({error}): what follows there is not seen",
            expected="a whole tar archive",
            todo="fetch it again, or pack it again",
        )
    if member is None or member.kind == FILE:
        seen = f"the archive {name} was damaged from byte {at} on when it was listed, and is not now"
        return ImageError(seen, todo="embed it again, into another folder")
    return ImageError(
        f"{member.name!r} in {name} is {member.kind}",
        expected="a file: nothing is unpacked, and no link is followed",
        todo="store the image itself, or leave it out",
    )


def checked(item: Input, content: bytes) -> bytes:
    """Return what follows the header that ``content`` begins with; raise ImageError if it is not that of ``item``.

    An archive that was written anew since it was listed must not give the bytes of another image.
    """
    try:
        header = tarfile.TarInfo.frombuf(content[:BLOCK], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        header = None
    if header is None or header.size != item.size or KINDS.get(header.type) != FILE:
        raise ImageError(
            f"the archive {item.place!r} has changed since it was listed: {item.path!r} is no longer where it was",
            expected="archives that stay as they are while they are read",
            todo="embed it again",
        )
    return content[BLOCK:]


def compressed(place: str) -> UsageError:
    """Return the error for an archive that is compressed as a whole, so that no member can be read by itself."""
    return UsageError(
        f"the archive {place!r} is compressed as a whole",
        expected="an archive ending in .tar, whose images can be read one by one",
        todo="unpack the compression only: gunzip, bunzip2, unxz or zstd -d; images hardly shrink by it",
    )


def members(file: BinaryIO, at: int = 0) -> Iterator[Member]:
    """Yield the members from byte ``at`` on; raise Damaged where the archive does not end as it should."""
    while True:
        member, at = _member(file, at)
        if member is None:
            return
        yield member


def _member(file: BinaryIO, at: int) -> tuple[Member | None, int]:
    """Return the member whose headers begin at ``at``, or None at the end, and where the next one begins."""
    first = at = _skip_zeros(file, at)
    extra: dict[str, str] = {}
    while True:
        block = _read(file, at, BLOCK)
        if not block and at == first:
            return None, at
        header = _header(block, at)
        at += BLOCK
        if header.type not in (*tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            break
        if header.type == tarfile.GNUTYPE_SPARSE:
            at = _past_map(file, at, block[482])
            break
        if header.size > LONGEST:
            raise Damaged(first, f"a header of {header.size} bytes")
        extra.update(_extended(header.type, _read(file, at, header.size)))
        at += _padded(header.size)
    kind = SPARSE if any(key.startswith("GNU.sparse") for key in extra) else KINDS.get(header.type, "of unknown type")
    size = _size(extra, header, first)
    follows = 0 if kind in EMPTY else _padded(size)
    name = extra.get("GNU.sparse.name") or extra.get("path") or header.name
    return Member(name, kind, first, at, size), at + follows


def _skip_zeros(file: BinaryIO, at: int) -> int:
    """Return where the next header begins; at the end of the archive, the end of the file.

    Raises Damaged for an archive without the mark of its end, two blocks of zeros: it may be cut short there.
    """
    for count in range(ZEROS):
        block = _read(file, at, BLOCK)
        if block.strip(b"\0"):
            return at
        if len(block) < BLOCK:
            if count == 0:
                raise Damaged(at, "it ends there without the mark of its end" if at else "it is empty")
            return at + len(block)
        at += BLOCK
    file.seek(0, 2)
    return file.tell()


def _header(block: bytes, at: int) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise Damaged(at, str(error)) from error
    if header.size < 0:
        raise Damaged(at, "a member of negative size")
    return header


def _past_map(file: BinaryIO, at: int, more: int) -> int:
    """Return where the blocks end that say where the holes of a sparse file are."""
    while more:
        block = _read(file, at, BLOCK)
        if len(block) < BLOCK:
            raise Damaged(at, "it ends in the middle of a header")
        more, at = block[504], at + BLOCK
    return at


def _extended(kind: bytes, content: bytes) -> dict[str, str]:
    """Return what an extended header says of the member that follows; one for all members says nothing of interest."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    if kind in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):
        return {}
    found = {}
    while content:
        length, _, rest = content[:20].partition(b" ")
        if not length.isdigit() or not rest or int(length) <= len(length) + 1:
            break
        record, content = content[len(length) + 1 : int(length)], content[int(length) :]
        key, _, value = record.partition(b"=")
        found[key.decode("utf-8", "replace")] = value.removesuffix(b"\n").decode("utf-8", "surrogateescape")
    return found


def _size(extra: dict[str, str], header: tarfile.TarInfo, first: int) -> int:
    given = extra.get("size", "")
    if not given:
        return header.size
    if not given.isdecimal() or len(given) > 18:
        raise Damaged(first, f"a member of size {given[:20]!r}")
    return int(given)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    try:
        file.seek(at)
        return file.read(size)
    except OSError as error:
        raise Damaged(at, str(error)) from error
