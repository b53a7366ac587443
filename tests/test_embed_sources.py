"""What can be named as a source, in which order it comes, and which bytes every input has.

Archives are written by ``tarfile`` and by GNU tar, Parquet files by pyarrow, patterns are held against ``glob``, remote
files come from fsspec's memory and from a web server on loopback.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import snellen
from snellen.embed.sources import (
    Reader,
    expand,
    files,
    folders,
    named,
    paths,
    printable,
    remote,
    rows,
    tars,
)
from snellen.embed.sources.data import LIMIT
from snellen.errors import ImageError, MissingPackage, TooLarge, Unavailable, UsageError
from snellen.records.inputs import Input

NOTHING = io.BytesIO()


def inputs(*sources: object, stdin: bytes = b"", said: list[str] | None = None) -> list[Input]:
    return list(expand(map(str, sources), io.BytesIO(stdin), (said if said is not None else []).append))


def shown(*sources: object, **more) -> list[str]:
    return [item.path for item in inputs(*sources, **more)]


def contents(*sources: object) -> dict[str, bytes | str]:
    """Return the bytes of every input, or what is said of it, by its path."""
    with Reader() as reader:
        return {item.path: got(reader, item) for item in inputs(*sources)}


def got(reader: Reader, item: Input) -> bytes | str:
    try:
        return reader.read(item).content
    except ImageError as error:
        return f"{type(error).__name__}: {error.seen}"


def refusal(*sources: object) -> str:
    with pytest.raises(UsageError) as raised:
        inputs(*sources)
    return str(raised.value)


# ---- files, folders, patterns


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/d.tif", ".git/x.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "photos/sub/loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_its_images(tree):
    expected = ["photos/a.PNG", "photos/b.jpg", "photos/sub/c.webp", "photos/sub/deep/d.tif"]
    assert shown("photos") == shown("photos/") == expected
    assert shown(tree / "photos") == shown(f"file://{tree}/photos") == [f"{tree}/{path}" for path in expected]
    assert {item.kind for item in inputs("photos")} == {"file"}


def test_a_pattern_stands_for_the_files_it_matches(tree):
    assert shown("photos/*.jpg") == ["photos/b.jpg"]
    assert shown("photos/*") == ["photos/a.PNG", "photos/b.jpg", "photos/notes.txt"]
    assert shown("photos/**/?.webp") == ["photos/sub/c.webp"]


def test_a_file_whose_name_looks_like_something_else_is_a_file(tree):
    for name in ("[1].jpg", "x{0..3}.jpg", "a::b.jpg", "list.csv::path"):
        (tree / name).touch()
        assert inputs(name) == [Input(path=name, place=name)]


def test_order_and_repetition_are_kept_and_missing_paths_stay(tree):
    named_ = ("photos/b.jpg", "gone.jpg", "photos/a.PNG", "photos/b.jpg", "gone.tar", "gone.parquet", "photos/x.json")
    assert shown(*named_) == list(named_)
    found = contents(*named_)
    assert {path for path, content in found.items() if isinstance(content, str)} == {
        "gone.jpg",
        "gone.tar",
        "gone.parquet",
        "photos/x.json",
    }
    assert all(content in (b"", f"Missing: {path!r} does not exist") for path, content in found.items())


def test_a_list_on_stdin(tree):
    expected = ["x y.jpg", "photos", "*.jpg", "last", "z.jpg"]
    assert shown("-", "z.jpg", stdin=b"x y.jpg\r\n\nphotos\n*.jpg\nlast") == expected


def test_what_comes_in_is_not_hoarded():
    class Endless(io.RawIOBase):
        taken = 0

        def readline(self, size=-1):
            self.taken += 1
            return b"%d.jpg\n" % self.taken

    stdin = Endless()
    assert [item.path for item in islice(expand(["-"], stdin), 3)] == ["1.jpg", "2.jpg", "3.jpg"]
    assert stdin.taken <= 4


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("photos/empty", "holds no images"),
        ("photos/*.gif", "matches no file"),
        ("-", "stdin is empty"),
        ("photos/x{3..1}.jpg", "range {3..1} in 'photos/x{3..1}.jpg' is empty"),
        ("gone.txt", "the list cannot be read: 'gone.txt' does not exist"),
        ("gone.csv::path", "the list cannot be read: 'gone.csv' does not exist"),
        ("set.arrow", "Arrow file, as a Hugging Face data set"),
        ("x.tar.gz", "compressed as a whole\n  expected: an archive ending in .tar"),
        ("shards/*.tgz", "compressed as a whole"),
    ],
)
def test_what_means_nothing_is_an_error(tree, source, message):
    assert message in refusal(source)


def test_ranges_are_counted_with_their_zeros(tree):
    assert shown("s-{008..011}.jpg") == ["s-008.jpg", "s-009.jpg", "s-010.jpg", "s-011.jpg"]
    assert shown("{9..10}-{0..1}.jpg") == ["9-0.jpg", "9-1.jpg", "10-0.jpg", "10-1.jpg"]
    assert next(iter(expand(["{0..999999999999}.jpg"], NOTHING))).path == "0.jpg"  # and is not made a list of


def test_patterns_match_what_the_standard_library_matches(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(5)
    names = ["a", "b", "ab", "a[1]", ".h", "c.jpg", "d.JPG", "a.b.jpg", ".x.jpg"]
    for _ in range(60):
        path = tmp_path.joinpath(*draw.choices(names, k=draw.randint(1, 4)))
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    matched = 0
    patterns = ["*", "**", "**/*.jpg", "*/*.jpg", "a/**/*.jpg", "**/a/**/*", "a*/?/**", "[ab]/*", "**/.x.jpg", ".h/*"]
    for pattern in [*patterns, "a/*/../*.jpg", "**/[!a]*", "./*/*", f"{tmp_path}/*/c.jpg", "a//*.jpg", "*/", "**/*b/*"]:
        expected = {os.path.normpath(path) for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path)}
        found = list(folders.matching(pattern))
        assert {os.path.normpath(path) for path in found} == expected, pattern
        assert len(found) == len(expected), pattern
        matched += len(found)
    assert matched > 40


def test_loops_of_links_are_entered_once_by_patterns_too(tree):
    assert shown("photos/**/*.webp") == ["photos/sub/c.webp"]
    (tree / "photos/sub/deep/up").symlink_to("..")
    assert shown("photos/**/*.webp") == ["photos/sub/c.webp"]
    assert shown("photos") == ["photos/a.PNG", "photos/b.jpg", "photos/sub/c.webp", "photos/sub/deep/d.tif"]


def test_folders_deeper_than_the_stack(tmp_path):
    """Where the walk called itself, a few hundred folders inside each other would end it."""
    deep = tmp_path
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "a.jpg").touch()
    depth = sys.getrecursionlimit()
    frames = len(list(frames_above(sys._getframe())))
    try:
        sys.setrecursionlimit(frames + 120)
        assert len(inputs(tmp_path)) == 1
    finally:
        sys.setrecursionlimit(depth)


def frames_above(frame) -> Iterator[object]:
    while frame:
        yield frame
        frame = frame.f_back


def test_a_folder_that_cannot_be_read_is_an_input_that_says_so(tree, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, whom nothing is forbidden
    found = contents("photos")
    assert found["photos/sub/deep"] == "ImageError: 'photos/sub/deep/' may not be read by this user"
    assert len(found) == 4

    def refuse_too(path):
        if str(path).rstrip("/").endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return names(path)

    names = os.listdir
    monkeypatch.setattr(os, "listdir", refuse_too)
    assert shown("photos/**/*.jpg") == ["photos/b.jpg", "photos/sub/deep"]


def test_paths_gives_local_files_and_nothing_else(tree):
    assert list(paths(["photos", "gone.jpg"], NOTHING))[-1] == "gone.jpg"
    with pytest.raises(UsageError, match="not a local file"):
        list(paths(["http://127.0.0.1/x.jpg"], NOTHING))


# ---- what is read, and what is not


def test_bytes_size_and_time_of_a_file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(256)) * 1000)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    with Reader() as reader:
        data = reader.read(named(str(path)))
        assert reader.stat(named(str(path))) == (data.size, data.modified_ns) == (256_000, 1_700_000_000_123_456_789)
        assert data.content == path.read_bytes()
        assert reader.read(named("/proc/self/stat")).content  # of size 0, as the system says
        assert reader.stat(named(str(tmp_path / "gone"))) is None


def test_what_is_not_there_is_told_from_what_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(LIMIT + 1)
    expected = {
        "pipe.jpg": "ImageError: {} is a device or a pipe",
        "zero.jpg": "ImageError: {} is a device or a pipe",
        "gone.jpg": "Missing: {} does not exist",
        "loop.jpg": "ImageError: {} cannot be read: [Errno 40]",
        "folder.jpg": "ImageError: {} is a folder",
        "big.jpg": f"TooLarge: {{}} has {LIMIT + 1} bytes",
        "x" * 300: "ImageError: {} cannot be read: [Errno 36]",
        "nul\0.jpg": "ImageError: {} cannot be read: embedded null byte",
    }
    with Reader() as reader:
        for name, message in expected.items():
            path = f"{tmp_path}/{name}"
            assert got(reader, named(path)).startswith(message.format(repr(path)))


def test_a_file_that_grows_while_it_is_read_is_read_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LIMIT", 100_000)
    monkeypatch.setattr(os, "read", lambda descriptor, size: bytes(size))
    (tmp_path / "a.jpg").write_bytes(b"x")
    with Reader() as reader, pytest.raises(TooLarge, match="more than"):
        reader.read(named(str(tmp_path / "a.jpg")))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"x")

    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with Reader() as reader:
        assert "may not be read by this user" in str(got(reader, named(str(tmp_path / "a.jpg"))))


def test_names_are_shown_as_text_and_without_passwords():
    assert printable(os.fsdecode(b"./a//caf\xe9.jpg")) == "a/caf\\xe9.jpg"
    assert printable("https://me:secret@host/a//b.jpg?x=1") == "https://host/a//b.jpg?x=1"
    assert printable("simplecache::s3://bucket/é.jpg") == "simplecache::s3://bucket/é.jpg"


# ---- lists


def test_lines_of_a_list_are_relative_to_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"A")
    raw = b"\xef\xbb\xbfa.jpg\r\n\r\n" + os.fsencode(tmp_path) + b"/b.jpg\nhttps://h/x.jpg\nphotos\ncaf\xe9.jpg"
    (tmp_path / "in/list.TXT").write_bytes(raw)
    found = inputs(tmp_path / "in/list.TXT")
    folder = f"{tmp_path}/in"
    last = os.fsdecode(b"/caf\xe9.jpg")
    assert [item.place for item in found] == [
        f"{folder}/a.jpg",
        f"{tmp_path}/b.jpg",
        "https://h/x.jpg",
        f"{folder}/photos",
        folder + last,
    ]
    assert [item.kind for item in found] == ["file", "file", "url", "file", "file"]
    with Reader() as reader:
        assert reader.read(found[0]).content == b"A"


def test_lists_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("utf16.txt").write_bytes("a.jpg\n".encode("utf-16"))
    Path("long.txt").write_bytes(b"a\n" + b"x" * 70_000)
    Path("empty.txt").write_bytes(b"\n\n")
    os.mkfifo("pipe.txt")
    assert "UTF-16" in refusal("utf16.txt")
    assert "line 2 of the list 'long.txt' is longer" in refusal("long.txt")
    assert "the list 'empty.txt' is empty" in refusal("empty.txt")
    assert "'pipe.txt' is a device or a pipe" in refusal("pipe.txt")


def test_a_column_of_a_csv_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_bytes('\ufeffid,Path,label\n1,"a, ""b"".jpg",x\n\n2,,y\n3\n4,/z.jpg,"two\nlines"\n'.encode())
    assert shown("list.csv") == ['a, "b".jpg', "list.csv/Path[2]", "list.csv/Path[3]", "/z.jpg"]
    assert contents("list.csv")["list.csv/Path[2]"] == "Missing: 'list.csv/Path[2]' is empty: it names no image"
    assert shown("list.csv::label")[0] == "x"
    Path("two.csv").write_text("path,url\na,b\n")
    assert shown("two.csv::url") == ["b"]
    assert "more than one column that is known to name images" in refusal("two.csv")
    assert "two.csv::NAME" in refusal("two.csv")
    assert "no column named 'pth'\n  expected: one of its columns: 'path', 'url'" in refusal("two.csv::pth")
    Path("none.csv").write_text("a;b\n1;2\n")
    assert "no column that is known to name images" in refusal("none.csv")
    Path("none.csv").write_bytes(b"path\n" + b"x" * 200_000 + b"\n")
    assert "line 2 of the list 'none.csv' cannot be read: field larger" in refusal("none.csv")
    Path("none.csv").write_text("path\n")
    assert "the list 'none.csv' is empty" in refusal("none.csv")


# ---- archives


def tar_of(path: Path, members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form, encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


MEMBERS = {
    "000.jpg": b"first" * 300,
    "000.json": b"{}",
    "000.left.png": b"",
    "./sub/001.JPEG": b"x",
    "l" * 90 + "/" + "n" * 90 + ".jpg": b"long" * 128,
    "p" * 300 + ".webp": b"longer",
    "é/ü.jpg": b"text",
    ".hidden.jpg": b"no",
    "sub/._001.jpg": b"no",
    "last.tif": bytes(1024),
}
IMAGES = [name for name in MEMBERS if "json" not in name and "/._" not in name and not name.startswith(".h")]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_hold_what_tarfile_says(tmp_path, form):
    members = {name: content for name, content in MEMBERS.items() if form != tarfile.USTAR_FORMAT or len(name) < 200}
    members[os.fsdecode(b"caf\xe9.jpg")] = b"not text"
    path = tar_of(tmp_path / "shard.tar", members, form)
    with path.open("rb") as file, tarfile.open(path, errors="surrogateescape") as oracle:
        assert [(m.name, m.offset, m.size, m.first) for m in tars.members(file)] == [
            (m.name, m.offset_data, m.size, m.offset) for m in oracle
        ]
    found = contents(path)
    wanted = [name for name in [*IMAGES, os.fsdecode(b"caf\xe9.jpg")] if name in members]
    assert list(found) == [f"{path}/{printable(name)}" for name in wanted]
    assert list(found.values()) == [members[name] for name in wanted]


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_archives_of_gnu_tar(tmp_path, form):
    folder = tmp_path / "in"
    (folder / "s u b").mkdir(parents=True)
    written = {f"s u b/{i}.jpg": hashlib.sha256(b"%d" % i).digest() * i * 20 for i in range(5)}
    for name, content in written.items():
        (folder / name).write_bytes(content)
    with (folder / "holes.png").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    (folder / "link.jpg").symlink_to("s u b/1.jpg")
    os.link(folder / "s u b/2.jpg", folder / "t.jpg")
    if form != "v7":  # which has no pipes
        os.mkfifo(folder / "pipe.jpg")
    sparse = ["--sparse"] if form in ("oldgnu", "gnu", "posix") else []
    command = [
        "tar",
        f"--format={form}",
        *sparse,
        "--sort=name",
        "-cf",
        str(tmp_path / "x.tar"),
        "-C",
        str(folder),
        ".",
    ]
    subprocess.run(command, check=True)
    found = {path.removeprefix(f"{tmp_path}/x.tar/"): content for path, content in contents(tmp_path / "x.tar").items()}
    holes = found.pop("holes.png")
    if sparse:
        assert "holes.png' in" in holes
        assert holes.endswith("is a file stored with holes (sparse)")
    else:
        assert holes == (folder / "holes.png").read_bytes()
    assert found.pop("link.jpg").endswith("is a symbolic link")
    assert found.pop("t.jpg").endswith("is a hard link")
    assert form == "v7" or found.pop("pipe.jpg").endswith("is a pipe")
    assert found == written


def test_members_that_are_dangerous_to_unpack_are_read_or_refused_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("evil.tar", "w") as archive:
        for name, kind in (
            ("/etc/passwd.jpg", tarfile.REGTYPE),
            ("../../up.jpg", tarfile.REGTYPE),
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("zero.jpg", tarfile.CHRTYPE),
            ("disk.jpg", tarfile.BLKTYPE),
            ("strange.jpg", b"V"),
            ("folder.jpg", tarfile.DIRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "/etc/passwd", 3 * (kind == tarfile.REGTYPE)
            archive.addfile(member, io.BytesIO(b"abc"))
    assert contents("evil.tar") == {
        "evil.tar/etc/passwd.jpg": b"abc",
        "evil.tar/../../up.jpg": b"abc",
        "evil.tar/link.jpg": "ImageError: 'link.jpg' in 'evil.tar' is a symbolic link",
        "evil.tar/hard.jpg": "ImageError: 'hard.jpg' in 'evil.tar' is a hard link",
        "evil.tar/zero.jpg": "ImageError: 'zero.jpg' in 'evil.tar' is a device",
        "evil.tar/disk.jpg": "ImageError: 'disk.jpg' in 'evil.tar' is a device",
        "evil.tar/strange.jpg": "ImageError: 'strange.jpg' in 'evil.tar' is of unknown type",
    }
    assert os.listdir() == ["evil.tar"]


def test_wherever_an_archive_is_cut_no_image_is_lost_without_a_word(tmp_path):
    whole = tar_of(tmp_path / "x.tar", MEMBERS)
    data = whole.read_bytes()
    everything = contents(whole)
    end = len(data.rstrip(b"\0"))
    end += -end % 512 + 1024 + 512  # the last member is all zeros
    assert data[end:].strip(b"\0") == b""
    for cut in [*range(0, end, 97), *range(0, end, 512)]:
        whole.write_bytes(data[:cut])
        found = contents(whole)
        good = {path: content for path, content in found.items() if isinstance(content, bytes)}
        assert good == dict(islice(everything.items(), len(good)))
        bad = [content for content in found.values() if isinstance(content, str)]
        assert bad or cut > end - 512, cut
        assert all("damaged from byte" in message or "cut short" in message for message in bad)
    whole.write_bytes(data)
    assert contents(whole) == everything


def test_a_damaged_header_costs_what_is_behind_it_and_is_said(tmp_path):
    path = tar_of(tmp_path / "x.tar", {f"{i}.jpg": b"%d" % i * 600 for i in range(6)})
    data = bytearray(path.read_bytes())
    at = data.index(b"3.jpg")
    data[at : at + 5] = b"oops!"
    path.write_bytes(data)
    with tarfile.open(path) as oracle:
        assert len(oracle.getmembers()) == 3  # and not a word
    found = contents(path)
    assert list(found)[:3] == [f"{path}/{i}.jpg" for i in range(3)]
    assert found[str(path)].startswith(f"ImageError: the archive '{path}' is damaged from byte {at} on (bad checksum)")
    assert len(found) == 4


def test_flipped_bytes_neither_hang_nor_raise_anything_else(tmp_path):
    path = tar_of(tmp_path / "x.tar", {f"{i}.jpg": b"%d" % i * 300 for i in range(4)}, tarfile.GNU_FORMAT)
    data, draw = path.read_bytes(), random.Random(1)
    for _ in range(300):
        spoilt = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            spoilt[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(spoilt)
        assert len(contents(path)) <= 6


def header(name: str, kind: bytes, size: int) -> bytes:
    """Return the header of a member that may claim any size."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (1 << 95 | size).to_bytes(12, "big") if size >= 0 else (256**12 + size).to_bytes(12, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (header("a.jpg", tarfile.REGTYPE, -512), "a member of negative size"),
        (header("a.jpg", tarfile.REGTYPE, 1 << 60), "TooLarge"),
        (header("a.jpg", tarfile.GNUTYPE_LONGNAME, 1 << 40), "a header of 1099511627776 bytes"),
        (header("a.jpg", tarfile.XHDTYPE, 1 << 40), "a header of 1099511627776 bytes"),
        (header("a.jpg", tarfile.GNUTYPE_LONGNAME, 5) + b"c.jpg" + bytes(507), "abc"),
        (header("a.jpg", tarfile.XHDTYPE, 12) + b"12 size=1e9\n" + bytes(500), "a member of size '1e9'"),
        (header("a.jpg", tarfile.XHDTYPE, 9) + b"9999999 x" + bytes(503), ""),
    ],
)
def test_hostile_headers(tmp_path, head, message):
    path = tmp_path / "x.tar"
    path.write_bytes(head + header("b.jpg", tarfile.REGTYPE, 3) + b"abc" + bytes(509 + 1024))
    found = contents(path)
    assert message in " ".join(str(content) for content in found.values())
    path.write_bytes(head * 2000)  # and one behind the other: each is a member, or the end
    assert len(contents(path)) <= 2001


def test_an_endless_tail_of_zeros_and_archives_behind_each_other(tmp_path):
    one = tar_of(tmp_path / "1.tar", {"1.jpg": b"1"}).read_bytes()
    two = tar_of(tmp_path / "2.tar", {"2.jpg": b"2"}).read_bytes()
    both = tmp_path / "x.tar"
    both.write_bytes(one + two)
    assert list(contents(both).values()) == [b"1", b"2"]
    with both.open("r+b") as file:
        file.truncate(1 << 40)
    assert list(contents(both).values()) == [b"1", b"2"]


def test_archives_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.tar").touch()
    Path("text.tar").write_text("hello " * 200)
    Path("gz.tar").write_bytes(b"\x1f\x8b\x08 and so on")
    tar_of(Path("none.tar"), {"a.txt": b"", ".a.jpg": b""})
    os.mkfifo("pipe.tar")
    assert "is damaged from byte 0 on (it is empty)" in contents("empty.tar")["empty.tar"]
    assert "is damaged from byte 0 on (invalid header)" in contents("text.tar")["text.tar"]
    assert contents("pipe.tar") == {"pipe.tar": "ImageError: 'pipe.tar' is a device or a pipe"}
    assert "compressed as a whole" in refusal("gz.tar")
    assert "holds no images" in refusal("none.tar")
    assert shown("none.tar".replace("none", "text"), "{0..1}.tar") == ["text.tar", "0.tar", "1.tar"]


def test_an_archive_that_changed_gives_no_other_image(tmp_path):
    path = tar_of(tmp_path / "x.tar", {"a.jpg": b"A" * 10, "b.jpg": b"B" * 20})
    items = inputs(path)
    with Reader() as reader:
        assert [reader.read(item).content for item in items] == [b"A" * 10, b"B" * 20]
    tar_of(path, {"b.jpg": b"B" * 20, "c.jpg": b"C" * 600, "a.jpg": b"A" * 10})
    with Reader() as reader:
        assert [str(got(reader, item)).partition(":")[0] for item in items] == ["ImageError"] * 2
        assert "has changed since it was listed" in got(reader, items[0])


def test_size_and_time_of_a_member_are_its_own_and_of_the_archive(tmp_path):
    path = tar_of(tmp_path / "x.tar", {"a.jpg": b"A" * 10})
    os.utime(path, ns=(1, 1_600_000_000_000_000_001))
    (item,) = inputs(path)
    with Reader() as reader:
        data = reader.read(item)
        assert reader.stat(item) == (data.size, data.modified_ns) == (10, 1_600_000_000_000_000_001)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_archives_are_read_by_many_threads_with_few_of_them_open(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "OPEN", 4)
    for i in range(20):
        tar_of(tmp_path / f"{i:02}.tar", {f"{k}.jpg": b"%d %d" % (i, k) for k in range(5)})
    items = inputs(tmp_path / "{00..19}.tar") * 3
    random.Random(2).shuffle(items)
    before, most = descriptors(), 0
    with Reader() as reader, ThreadPoolExecutor(8) as pool:

        def read(item: Input) -> bool:
            nonlocal most
            number, key = re.findall(r"(\d+)\.tar/(\d)\.jpg", item.path)[0]
            found = reader.read(item).content == b"%d %d" % (int(number), int(key))
            most = max(most, len(reader._handles._open))
            return found

        assert all(pool.map(read, items))
        assert most <= 4 + 8
        assert descriptors() <= before + 4
    assert descriptors() == before


# ---- Parquet


def table(path: Path, columns: dict[str, object], **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, **options)
    return path


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def structs(count: int) -> pa.Array:
    return pa.array([{"bytes": b"%d" % i, "path": f"{i}.jpg"} for i in range(count)], IMAGE)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_in_a_column(tmp_path, kind):
    path = table(tmp_path / "x.parquet", {"id": [1, 2, 3], "jpg": pa.array([b"a", None, b"c"], kind)})
    assert contents(path) == {
        f"{path}/jpg[0]": b"a",
        f"{path}/jpg[1]": f"Missing: row 1 of '{path}' is empty: it names no image",
        f"{path}/jpg[2]": b"c",
    }


def test_images_as_hugging_face_stores_them(tmp_path):
    path = table(tmp_path / "x.parquet", {"label": list(range(7)), "image": structs(7)}, row_group_size=3)
    assert contents(path) == {f"{path}/image[{i}]": b"%d" % i for i in range(7)}
    (item, *_) = inputs(path)
    with Reader() as reader:
        data = reader.read(item)
        status = path.stat()
        assert reader.stat(item) == (data.size, data.modified_ns) == (status.st_size, status.st_mtime_ns)


def test_where_bytes_are_null_the_path_counts(tmp_path):
    for name in ("p.jpg", "q.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    images = [
        *({"bytes": b"%d" % i, "path": "ignored.jpg"} for i in range(2)),
        *({"bytes": None, "path": name} for name in ("p.jpg", "q.jpg")),
        {"bytes": b"4", "path": None},
        {"bytes": None, "path": f"{tmp_path}/p.jpg"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"", "path": "p.jpg"},
        {"bytes": None, "path": "gone.jpg"},
    ]
    path = table(tmp_path / "x.parquet", {"image": pa.array(images, IMAGE)}, row_group_size=3)
    items = inputs(path)
    with Reader() as reader:
        found = [got(reader, item) for item in items]
        assert reader.read(items[0]).modified_ns == path.stat().st_mtime_ns
        assert reader.read(items[2]).modified_ns is None  # the time of the file that it names is nowhere told
    none = [f"Missing: row {i} of '{path}' is empty: it names no image" for i in (6, 7)]
    gone = f"Missing: '{tmp_path}/gone.jpg' does not exist"
    assert found == [b"0", b"1", b"p.jpg", b"q.jpg", b"4", b"p.jpg", *none, b"", gone]


def test_no_bytes_are_read_to_list_them(tmp_path, monkeypatch):
    path = table(tmp_path / "x.parquet", {"image": structs(6)})
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", lambda *args, **options: 1 / 0)
    assert len(inputs(path)) == 6


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_paths_in_a_column(tmp_path, kind):
    names = pa.array(["a.jpg", None, "/b.jpg", "https://h/c.jpg", "a.jpg"], pa.string()).cast(kind)
    path = table(tmp_path / "x.parquet", {"caption": ["x"] * 5, "Image_Path": names}, row_group_size=2)
    assert shown(path) == [
        f"{tmp_path}/a.jpg",
        f"{path}/Image_Path[1]",
        "/b.jpg",
        "https://h/c.jpg",
        f"{tmp_path}/a.jpg",
    ]
    assert shown(f"{path}::caption")[0] == f"{tmp_path}/x"


def test_the_column_is_never_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two = structs(2)
    table(Path("a.parquet"), {"image": two, "mask": two, "url": ["x", "y"]})
    assert "more than one column with bytes: 'image', 'mask'" in refusal("a.parquet")
    assert shown("a.parquet::mask") == ["a.parquet/mask[0]", "a.parquet/mask[1]"]
    assert shown("?.parquet::mask") == ["a.parquet/mask[0]", "a.parquet/mask[1]"]
    table(Path("b.parquet"), {"image": two, "url": ["x", "y"], "thumb": [b"1", b"2"]})
    assert shown("b.parquet") == ["b.parquet/image[0]", "b.parquet/image[1]"]
    table(Path("c.parquet"), {"text": ["x"], "images": pa.array([[b"1"]])})
    assert "no column that is known to name images\n  expected: one named path" in refusal("c.parquet")
    assert "is of type list<" in refusal("c.parquet::images")
    assert "no column named 'x'" in refusal("c.parquet::x")
    table(Path("d.parquet"), {"path": ["x"], "file": ["y"]})
    assert "more than one column that is known" in refusal("d.parquet")
    table(Path("e.parquet"), {"path": pa.array([], pa.string())})
    assert "'e.parquet' holds no images" in refusal("e.parquet")


def test_parquet_files_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = table(Path("x.parquet"), {"image": structs(5)}).read_bytes()
    for name, content in {"empty": b"", "text": b"hello", "cut": data[:-20], "zeros": bytes(2000)}.items():
        Path(f"{name}.parquet").write_bytes(content)
        ((path, message),) = contents(f"{name}.parquet").items()
        assert path == f"{name}.parquet"
        assert "cannot be read: the Parquet file is damaged or cut short" in message
    os.mkfifo("pipe.parquet")
    assert contents("pipe.parquet") == {"pipe.parquet": "ImageError: 'pipe.parquet' is a device or a pipe"}


def test_a_damaged_page_costs_the_rows_behind_it_in_its_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "AT_ONCE", 50_000)
    noise = random.Random(3)
    blobs = [noise.randbytes(10_000) for _ in range(40)]
    options = {"row_group_size": 20, "compression": "zstd", "data_page_size": 10_000, "use_dictionary": False}
    path = table(tmp_path / "x.parquet", {"image": blobs}, write_batch_size=1, **options)
    data = bytearray(path.read_bytes())
    at = data.index(blobs[10][:64])
    data[at - 60 : at] = bytes(60)  # the header of its page
    path.write_bytes(data)
    found = list(contents(path).values())
    bad = [i for i, content in enumerate(found) if content != blobs[i]]
    assert bad == list(range(bad[0], 20))
    assert 5 <= bad[0] <= 10
    assert all("damaged or cut short" in found[i] for i in bad)


def test_a_damaged_page_of_paths_is_in_the_list_as_an_input_that_says_so(tmp_path):
    names = [f"{i:064}.jpg" for i in range(400)]
    path = table(tmp_path / "x.parquet", {"path": names}, row_group_size=100, use_dictionary=False, compression="none")
    data = bytearray(path.read_bytes())
    at = data.index(names[200].encode())
    data[at - 40 : at] = b"\xff" * 40
    path.write_bytes(data)
    found = contents(path)
    expected = [f"{tmp_path}/{name}" for name in names]
    assert list(found) == [*expected[:200], str(path), *expected[300:]]
    assert "row 200 and those behind it in its row group could not be read to list them" in found[str(path)]


def test_paths_that_are_not_text(tmp_path):
    raw = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / raw).write_bytes(b"here")
    names = pa.array([b"caf\xe9.jpg"]).view(pa.string())
    images = pa.StructArray.from_arrays([pa.array([None], pa.binary()), names], ["bytes", "path"])
    for name, column in {"path": names, "image": images}.items():
        assert list(contents(table(tmp_path / "x.parquet", {name: column})).values()) == [b"here"]


def test_flipped_bytes_in_a_parquet_file_raise_nothing_else(tmp_path):
    """Nor do they end the process, as some of what pyarrow offers does for metadata that contradict each other."""
    images = pa.array([{"bytes": b"%d" % i if i % 3 else None, "path": "a.jpg"} for i in range(20)], IMAGE)
    for columns in ({"image": images}, {"path": ["a.jpg"] * 20}):
        path = table(tmp_path / "x.parquet", columns, row_group_size=8)
        data, draw = path.read_bytes(), random.Random(1)
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        for _ in range(120):
            spoilt = bytearray(data)
            for _ in range(draw.randint(1, 3)):
                spoilt[draw.randrange(footer if draw.random() < 0.7 else 0, len(data))] = draw.randrange(256)
            path.write_bytes(spoilt)
            with suppress(UsageError):  # the column is not called so any more
                assert len(contents(path)) <= 20


def counted_groups(monkeypatch) -> Counter[tuple[int, ...]]:
    begun: Counter[tuple[int, ...]] = Counter()
    inner = parquet.ParquetFile.iter_batches

    def counting(self, *args, row_groups, **options):
        begun[tuple(row_groups)] += 1
        return inner(self, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", counting)
    return begun


def test_rows_read_in_order_by_many_threads_read_each_row_group_once(tmp_path, monkeypatch):
    path = table(tmp_path / "x.parquet", {"image": structs(3000)}, row_group_size=500)
    items = inputs(path)
    begun = counted_groups(monkeypatch)
    with Reader() as reader, ThreadPoolExecutor(8) as pool:
        under_way: deque[Future[bytes]] = deque()
        for i, item in enumerate(items):  # as the loop that embeds does: no thread is far behind the others
            under_way.append(pool.submit(lambda item=item: reader.read(item).content))
            if i >= 40:
                assert under_way.popleft().result() == b"%d" % (i - 40)
        assert [each.result() for each in under_way] == [b"%d" % i for i in range(2960, 3000)]
        assert dict(begun) == {(group,): 1 for group in range(6)}
        assert [reader.read(items[i]).content for i in (2999, 0, 1500)] == [
            b"2999",
            b"0",
            b"1500",
        ]  # any other order, too
        assert sum(begun.values()) <= 9


def test_of_a_row_group_only_the_last_rows_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "AT_ONCE", 40_000)
    monkeypatch.setattr(rows, "KEPT", 100_000)
    blobs = [random.Random(i).randbytes(10_000) for i in range(200)]
    options = {"data_page_size": 20_000, "use_dictionary": False, "write_batch_size": 1}  # else it is one page
    items = inputs(table(tmp_path / "x.parquet", {"image": blobs * 10}, **options))
    begun, before = counted_groups(monkeypatch), pa.total_allocated_bytes()
    with Reader() as reader:
        for item, blob in zip(items, blobs * 10, strict=True):
            assert reader.read(item).content == blob
            assert pa.total_allocated_bytes() - before < 4_000_000
        assert reader.read(items[1995]).content == blobs[195]  # a little out of order
        assert sum(begun.values()) == 1
        assert reader.read(items[3]).content == blobs[3]  # far back: from its beginning again
        assert sum(begun.values()) == 2


def test_few_parquet_files_are_open(tmp_path, monkeypatch):
    for i in range(12):
        table(tmp_path / f"{i}.parquet", {"image": structs(3)})
    items = inputs(tmp_path / "*.parquet")
    before = descriptors()
    with Reader() as reader:
        for item in [*items, *items[::-1]]:
            assert isinstance(got(reader, item), bytes)
            assert descriptors() <= before + rows.FILES + 1
    assert descriptors() == before


def test_a_parquet_file_that_changed_gives_no_other_image(tmp_path):
    path = table(tmp_path / "x.parquet", {"image": structs(5)})
    items = inputs(path)
    table(path, {"image": structs(2)})
    with Reader() as reader:
        assert "has changed since it was listed: it has 2 rows" in got(reader, items[4])
    table(path, {"photo": structs(5)})
    with Reader() as reader:
        assert "its column 'image' holds no images" in got(reader, items[4])


# ---- folders of more than images


def test_a_hugging_face_folder(tmp_path):
    for split, count in (("test", 2), ("train", 3)):
        table(tmp_path / f"set/data/{split}-00000-of-00001.parquet", {"image": structs(count)})
    (tmp_path / "set/README.md").touch()
    said: list[str] = []
    found = [path.removeprefix(f"{tmp_path}/set/data/") for path in shown(tmp_path / "set", said=said)]
    assert found == [
        *(f"test-00000-of-00001.parquet/image[{i}]" for i in range(2)),
        *(f"train-00000-of-00001.parquet/image[{i}]" for i in range(3)),
    ]
    assert said == []


def test_a_folder_of_images_and_archives_stands_for_all_of_them_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(Path("in/b.parquet"), {"image": structs(1)})
    table(Path("in/part-00000.parquet"), {"image_path": ["x.jpg"], "embedding": [[0.5]]})
    tar_of(Path("in/c.tar"), {"1.jpg": b"1"})
    for name in ("a.jpg", "d.tar.gz", "e.arrow", "f.txt", "g.csv"):
        (Path("in") / name).touch()
    said: list[str] = []
    assert shown("in", said=said) == ["in/a.jpg", "in/b.parquet/image[0]", "in/c.tar/1.jpg"]
    assert said == [
        "the folder 'in' holds 1 image, 1 Parquet file, 1 archive: the images in them are taken as well",
        "the folder 'in' holds 1 compressed archive, 1 Arrow, 1 Parquet file without images: left out; "
        "name a Parquet file to use it as a list of paths",
    ]
    assert "no column named 'image_path'" in refusal("in::image_path")


def test_a_folder_of_nothing_that_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(Path("in/a.parquet"), {"url": ["x"]})
    assert "holds no images; 1 Parquet file without images in it are not read" in refusal("in")
    assert shown("in::url") == ["in/x"]
    (Path("in") / "b.arrow").touch()
    assert "Arrow file, as a Hugging Face data set" in refusal("in")


# ---- remote


@pytest.fixture
def memory(monkeypatch) -> Iterator[object]:
    import fsspec

    monkeypatch.setattr(remote, "WAITS", (0, 0))
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def put(system, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        system.pipe_file(name, content)


def test_remote_files_folders_and_patterns(memory):
    put(memory, {"/b/x/2.jpg": b"2", "/b/x/1.PNG": b"1", "/b/x/n.txt": b"", "/b/x/.h/3.jpg": b"", "/b/y 1.jpg": b"y"})
    found = contents("memory://b", "memory://b/x/", "memory://b/*/?.jpg", "memory://b/y 1.jpg", "memory://b/gone.jpg")
    assert found == {
        "memory://b/x/1.PNG": b"1",
        "memory://b/x/2.jpg": b"2",
        "memory://b/y 1.jpg": b"y",
        "memory://b/gone.jpg": "Missing: 'memory://b/gone.jpg' does not exist",
    }
    assert shown("memory://b/x/") == ["memory://b/x/1.PNG", "memory://b/x/2.jpg"]
    assert shown("memory://b/y {0..1}.jpg") == ["memory://b/y 0.jpg", "memory://b/y 1.jpg"]
    assert contents("memory://b/y%201.jpg") == {
        "memory://b/y%201.jpg": "Missing: 'memory://b/y%201.jpg' does not exist"
    }
    assert shown("memory://b/x/.h/") == ["memory://b/x/.h/3.jpg"]  # hidden, and named
    assert "the folder 'memory://b/x/.i/' holds no images" in refusal("memory://b/x/.i/")


def test_remote_lists_archives_and_parquet_files(memory, tmp_path):
    put(
        memory,
        {
            "/b/list.txt": b"in/a.jpg\nmemory://b/in/b.jpg\n",
            "/b/in/a.jpg": b"A",
            "/b/in/b.jpg": b"B",
            "/b/list.csv": b"id,file\n1,in/a.jpg\n",
            "/b/s-0.tar": tar_of(tmp_path / "s.tar", MEMBERS).read_bytes(),
            "/b/cut.tar": tar_of(tmp_path / "s.tar", MEMBERS).read_bytes()[:3000],
            "/b/t.parquet": table(tmp_path / "t.parquet", {"image": structs(4)}, row_group_size=3).read_bytes(),
            "/b/cut.parquet": b"PAR1",
        },
    )
    assert list(contents("memory://b/list.txt").values()) == [b"A", b"B"]
    assert contents("memory://b/list.csv") == {"memory://b/in/a.jpg": b"A"}
    found = contents("memory://b/s-{0..0}.tar")
    assert found == {f"memory://b/s-0.tar/{printable(name)}": MEMBERS[name] for name in IMAGES}
    assert "damaged from byte" in contents("memory://b/cut.tar")["memory://b/cut.tar"]
    assert contents("memory://b/t.parquet::image") == {f"memory://b/t.parquet/image[{i}]": b"%d" % i for i in range(4)}
    assert "damaged or cut short" in contents("memory://b/cut.parquet")["memory://b/cut.parquet"]
    assert len(inputs("memory://b")) == 2 + len(IMAGES) + 4 + 1 + len(inputs("memory://b/cut.tar"))
    assert "the list cannot be read: 'memory://b/gone.txt' does not exist" in refusal("memory://b/gone.txt")


def test_what_a_remote_file_system_raises_is_tried_again_and_then_the_outcome(memory, monkeypatch):
    put(memory, {"/b/a.jpg": b"A"})
    raised: list[Exception] = []
    inner = type(memory).cat_file

    def failing(self, path, *args, **options):
        if raised:
            raise raised.pop()
        return inner(self, path, *args, **options)

    monkeypatch.setattr(type(memory), "cat_file", failing)
    with Reader() as reader:
        (item,) = inputs("memory://b/a.jpg")
        raised[:] = [OSError("reset"), TimeoutError("late")]
        assert reader.read(item).content == b"A"
        raised[:] = [OSError("reset")] * 3
        assert got(reader, item) == "ImageError: 'memory://b/a.jpg' cannot be read: OSError: reset"
        raised[:] = [PermissionError("no")]
        assert got(reader, item) == "ImageError: 'memory://b/a.jpg' may not be read by this user"
        assert not raised
        monkeypatch.setattr(type(memory), "cat_file", lambda *args, **options: b"AAA")
        assert "3 of 1 bytes came" in got(reader, item)
        assert reader.stat(item) is None


def test_a_listing_that_breaks_off_is_no_shorter_listing(memory, monkeypatch):
    put(memory, {"/b/a.jpg": b"A"})

    def failing(*_args, **_options):
        raise RuntimeError("gone away")

    monkeypatch.setattr(type(memory), "find", failing)
    with pytest.raises(Unavailable, match="'memory://b' cannot be read: RuntimeError: gone away"):
        inputs("memory://b")


@pytest.mark.parametrize(
    ("url", "module", "message"),
    [
        ("s3://b/x.jpg", None, "pip install s3fs"),
        ("gs://b/x.jpg", None, "pip install gcsfs"),
        ("https://h/x.jpg", "aiohttp", "pip install aiohttp"),
        ("memory://b/x.jpg", "fsspec.core", "pip install 'snellen[remote]'"),
        ("smb://b/x.jpg", None, "install what fsspec asks for"),
    ],
)
def test_packages_that_are_missing_are_named_before_anything_is_read(monkeypatch, url, module, message):
    import fsspec

    for name in ("s3", "gs", "https", "http"):
        sys.modules["fsspec.registry"]._registry.pop(name, None)
    fsspec.spec.AbstractFileSystem.clear_instance_cache()
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    for name in ("s3fs", "gcsfs", "smbprotocol", module):
        if name:
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackage) as raised:
        inputs(url)
    assert message in str(raised.value)


def test_addresses_of_no_known_kind():
    assert "'htp://h/x.jpg' is an address of no kind that fsspec knows" in refusal("htp://h/x.jpg")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"mtime": 1.5}, 1_500_000_000),
        ({"LastModified": __import__("datetime").datetime(1970, 1, 2)}, 86_400_000_000_000),
        ({"updated": "1970-01-01T00:00:02Z"}, 2_000_000_000),
        ({"Last-Modified": "Thu, 01 Jan 1970 00:00:03 GMT"}, 3_000_000_000),
        ({"Last-Modified": "yesterday"}, None),
        ({"created": 7.0}, None),
    ],
)
def test_when_a_remote_file_was_changed(told, expected):
    assert remote.modified(told) == expected


class Web:
    """A web server on loopback: files, and ways to fail."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, list[int]] = {}  # answers before the file is given
        self.asked: list[tuple[str, str, str | None]] = []
        self.ranges = True
        self.encoding: dict[str, str] = {}

    def __enter__(self) -> Web:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                return

            def do_HEAD(self):
                web.answer(self)

            def do_GET(self):
                web.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # who hangs up does so on purpose
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        path = asked.path.partition("?")[0]
        self.asked.append((asked.command, path, asked.headers.get("Range")))
        left = self.status.get(path, [])
        content = self.files.get(path)
        status, extra = (404, {}) if content is None else (200, {"Last-Modified": "Thu, 01 Jan 1970 00:00:03 GMT"})
        content = content or b""
        length = len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("Range") or "")
        if left and asked.command == "GET":
            status, content = left.pop(0), b""
            length = 0
            if status == 200:  # breaks off
                content, length = b"A", 1000
                asked.close_connection = True
        elif status == 404 and f"{path}/" in self.files:
            status, extra = 301, {"Location": f"{path}/"}
        elif wanted and self.ranges and status == 200:
            first, last = int(wanted[1]), min(int(wanted[2]), length - 1)
            extra["Content-Range"] = f"bytes {first}-{last}/{length}"
            status, content = 206, content[first : last + 1]
            length = len(content)
        asked.send_response(status)
        for name, value in {
            **extra,
            "Content-Length": str(length),
            "Content-Type": self.encoding.get(path, "x/y"),
        }.items():
            asked.send_header(name, value)
        asked.end_headers()
        if asked.command == "GET":
            with suppress(ConnectionError):
                asked.wfile.write(content)


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    monkeypatch.setattr(remote, "WAITS", (0, 0))
    with Web() as server:
        yield server


def test_files_from_the_web(web):
    web.files = {"/a.jpg": b"A", "/empty.jpg": b"", "/again.jpg": b"again", "/x": b"X"}
    web.status = {"/again.jpg": [503, 200], "/down.jpg": [500] * 3, "/no.jpg": [403], "/gone.jpg": [410]}
    names = ["a.jpg", "empty.jpg", "again.jpg", "x?id=1&key=secret", "down.jpg", "no.jpg", "gone.jpg", "404.jpg"]
    found = {
        path.removeprefix(web.url): content for path, content in contents(*(f"{web.url}/{n}" for n in names)).items()
    }
    assert found.pop("/down.jpg").startswith(
        f"ImageError: '{web.url}/down.jpg' cannot be read: ClientResponseError: 500"
    )
    assert found.pop("/no.jpg").startswith(f"ImageError: '{web.url}/no.jpg' cannot be read: ClientResponseError: 403")
    assert found == {
        "/a.jpg": b"A",
        "/empty.jpg": b"",
        "/again.jpg": b"again",
        "/x?id=1&key=secret": b"X",
        "/gone.jpg": f"Missing: '{web.url}/gone.jpg' does not exist",
        "/404.jpg": f"Missing: '{web.url}/404.jpg' does not exist",
    }
    assert Counter(path for _, path, _ in web.asked) == {
        **dict.fromkeys(("/a.jpg", "/empty.jpg", "/x", "/no.jpg", "/gone.jpg", "/404.jpg"), 1),
        **dict.fromkeys(("/again.jpg", "/down.jpg"), 3),
    }
    with Reader() as reader:
        data = reader.read(named(f"{web.url}/a.jpg"))
        assert reader.stat(named(f"{web.url}/a.jpg")) == (data.size, data.modified_ns) == (1, 3_000_000_000)


def test_many_threads_read_from_the_web(web):
    web.files = {f"/{i}.jpg": b"%d" % i * 1000 for i in range(60)}
    with Reader() as reader, ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda i: reader.read(named(f"{web.url}/{i}.jpg")).content, range(60))
        assert list(read) == list(web.files.values())


def test_a_server_that_sends_without_end_is_left(web, monkeypatch):
    monkeypatch.setattr("snellen.embed.sources.download.LIMIT", 3 << 20)
    web.files = {"/a.jpg": bytes(8 << 20)}
    with Reader() as reader, pytest.raises(TooLarge, match="more than"):
        reader.read(named(f"{web.url}/a.jpg"))


def test_nobody_listens(monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0,))
    (message,) = contents("http://127.0.0.1:9/a.jpg").values()
    assert message.startswith("ImageError: 'http://127.0.0.1:9/a.jpg' cannot be read: Client")


def test_a_page_of_links_is_a_folder(web):
    page = b'<a href="b.jpg">b</a> <a href="../up.jpg">up</a> <a href="/in/a.png">a</a> <a href="sub/">sub</a>'
    web.files = {
        "/in/": page,
        "/in/sub/": b'<a href="c.jpg">',
        "/in/b.jpg": b"B",
        "/in/a.png": b"A",
        "/in/sub/c.jpg": b"C",
    }
    web.encoding = {"/in/": "text/html", "/in/sub/": "text/html"}
    found = contents(f"{web.url}/in/")
    assert found == {
        f"{web.url}/in/a.png": b"A",
        f"{web.url}/in/b.jpg": b"B",
        f"{web.url}/in/sub/c.jpg": b"C",
    }
    assert shown(f"{web.url}/in/*.jpg")[-1] == f"{web.url}/in/b.jpg"


def test_archives_on_the_web_are_read_in_pieces(web, tmp_path):
    web.files["/s.tar"] = tar_of(tmp_path / "s.tar", MEMBERS).read_bytes()
    web.files["/t.parquet"] = table(tmp_path / "t.parquet", {"image": structs(4)}).read_bytes()
    assert contents(f"{web.url}/s.tar") == {f"{web.url}/s.tar/{printable(name)}": MEMBERS[name] for name in IMAGES}
    assert len(contents(f"{web.url}/t.parquet")) == 4
    pieces = [wanted for command, path, wanted in web.asked if command == "GET" and path == "/s.tar"]
    assert len(pieces) == len(IMAGES) + 1
    with Reader() as reader:
        item = inputs(f"{web.url}/s.tar")[0]
        data = reader.read(item)
        assert reader.stat(item) == (data.size, data.modified_ns) == (1500, 3_000_000_000)


def test_a_server_without_pieces_is_refused_and_not_read_whole_for_each(web, tmp_path):
    web.ranges = False
    web.files["/s.tar"] = tar_of(tmp_path / "s.tar", {f"{i}.jpg": bytes(3 << 20) for i in range(4)}).read_bytes()
    with pytest.raises(Unavailable, match="range requests"):
        inputs(f"{web.url}/s.tar")


# ---- what it costs


def test_sources_import_nothing_heavy():
    program = """
import io, sys
from snellen.embed.sources import Reader, expand
with Reader() as reader:
    items = list(expand([sys.argv[1]], io.BytesIO()))
    heavy = {"numpy", "pyarrow", "PIL", "fsspec", "torch"}.intersection(sys.modules)
    print(len(reader.read(items[0]).content) > 1000, sorted(heavy))
"""
    photos = Path(snellen.__file__).parent / "photos"
    environment = {**os.environ, "PYTHONPATH": str(photos.parents[1])}
    command = [sys.executable, "-c", program, str(photos)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout == "True []\n"


def test_a_long_list_takes_no_memory(tmp_path):
    import tracemalloc

    (tmp_path / "list.txt").write_bytes(b"".join(b"folder/%08d.jpg\n" % i for i in range(10_000)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in expand([str(tmp_path / "list.txt")], NOTHING)) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        assert len(inputs(tmp_path / "list.txt")) == 10_000  # all of them at once do
        assert tracemalloc.get_traced_memory()[1] > 2_000_000
    finally:
        tracemalloc.stop()


def test_a_store_below_a_folder_is_no_source(tmp_path):
    (tmp_path / "photos" / "vectors" / ".snellen").mkdir(parents=True)
    (tmp_path / "photos" / "vectors" / "img.jpg").touch()
    (tmp_path / "photos" / "a.jpg").touch()
    names = [Path(item.place).name for item in expand([str(tmp_path / "photos")], io.BytesIO())]
    assert names == ["a.jpg"]
    named_itself = expand([str(tmp_path / "photos" / "vectors")], io.BytesIO())
    assert [Path(item.place).name for item in named_itself] == ["img.jpg"]
