"""Say what a file is by what is in it, or why it is no checkpoint.

In: a path. Out: one of the kinds that can be opened, or a BadFile that names what the file is instead and what
to do about it. The ending of a file name is only a hint: it decides between nothing but two readings of the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Literal

from snellen.errors import BadFile

Kind = Literal["safetensors", "index", "torch", "npz"]

EXPECTED = "a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one"
AGAIN = "download the file again and compare its size with the one shown where it is published"
LFS = b"version https://git-lfs.github.com/spec/"
TORCH = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
HEAD = 4096
MOST_TEXT = 64 * 2**20  # an index of shards is far smaller

ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"Rar!\x1a\x07": "a rar archive",
}

OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras or TensorFlow weights)",
    b"GGUF": "a GGUF file (a quantised model)",
    b"\x93NUMPY": "a single numpy array (.npy) without a name",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF document",
}

WEIGHTS = "name the file that holds the weights"
UNPACK = "unpack it and name the file inside"
CONVERT = "use the PyTorch or safetensors weights of the same model"


def identify(path: Path) -> Kind:
    """Return how ``path`` is to be opened; raise BadFile if it is missing, unreadable, or something else."""
    size, head = _look(path)
    if not size:
        raise BadFile(f"'{path}' is empty (0 bytes)", expected=EXPECTED, todo=AGAIN)
    if head[5:9] == b"\0\0\0{":  # first of all: the length before it can look like any other format's first bytes
        return "safetensors"
    for refuse in (_pointer, _archive, _other_model):
        refuse(path, head)
    if head[:1] == b"\x80" and b"\x02" <= head[1:2] <= b"\x05":
        return _pickle_kind(path, head)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_kind(path)
    if _is_text(head):
        return _text_kind(path, head, size)
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    raise BadFile(f"'{path}' is not a checkpoint: it begins with {head[:8].hex(' ')}", expected=EXPECTED, todo=AGAIN)


def _look(path: Path) -> tuple[int, bytes]:
    """Return the size and the first bytes of a regular file."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadFile(f"'{path}' is a folder", expected="a file", todo="name the file in it that holds the weights")
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(f"'{path}' is not a regular file", expected=EXPECTED, todo=WEIGHTS)
        with path.open("rb") as file:
            return status.st_size, file.read(HEAD)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> BadFile:
    """Translate what the system says about a file into a BadFile."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return BadFile(
            f"'{path}' is a link to a file that is gone: {os.readlink(path)}",
            todo="download the file again (a cache was cleaned, or a folder was copied without its links' targets)",
        )
    if isinstance(error, FileNotFoundError):
        return BadFile(f"there is no file '{path}'", expected=EXPECTED, todo="check the spelling")
    if isinstance(error, PermissionError):
        return BadFile(f"'{path}' may not be read by this user", todo=f"allow it: chmod u+r '{path}'")
    return BadFile(f"'{path}' cannot be read: {error.strerror or error}", todo="check the disk, or copy the file again")


def _pointer(path: Path, head: bytes) -> None:
    if not head.startswith(LFS):
        return
    text = head.decode("ascii", "replace")
    oid = re.search(r"^oid (\S+)$", text, re.MULTILINE)
    length = re.search(r"^size (\d+)$", text, re.MULTILINE)
    raise BadFile(
        f"'{path}' is a git-lfs pointer, not the file itself: it stands for "
        f"{length[1] if length else 'an unknown number of'} bytes, oid {oid[1] if oid else 'unknown'}",
        expected=EXPECTED,
        todo=f"fetch the file: git -C '{path.parent}' lfs pull",
    )


def _archive(path: Path, head: bytes) -> None:
    what = next((what for magic, what in ARCHIVES.items() if head.startswith(magic)), None)
    if head[257:262] == b"ustar":
        what = "a tar archive"
    if what:
        raise BadFile(f"'{path}' is {what}", expected=EXPECTED, todo=UNPACK)


def _other_model(path: Path, head: bytes) -> None:
    what = next((what for magic, what in OTHERS.items() if head.startswith(magic)), None)
    if head[4:8] == b"TFL3":
        what = "a TensorFlow Lite model"
    elif _is_msgpack(head, path.suffix):
        what = "a Flax checkpoint (msgpack)"
    elif path.suffix == ".onnx" or (head[:1] == b"\x08" and b"pytorch" in head[:32]):
        what = "an ONNX model"
    elif path.suffix == ".pb" or re.search(r"\.ckpt\.(index|data-\d+-of-\d+)$", path.name):
        what = "part of a TensorFlow checkpoint"
    if what:
        raise BadFile(f"'{path}' is {what}, which is not read here", expected=EXPECTED, todo=CONVERT)


def _is_msgpack(head: bytes, suffix: str) -> bool:
    """Say whether the bytes are a msgpack map whose first key is a text."""
    small = 0x81 <= head[0] <= 0x8F and len(head) > 1 and (0xA1 <= head[1] <= 0xBF or head[1] == 0xD9)
    large = head[:1] == b"\xde" and len(head) > 3 and (0xA1 <= head[3] <= 0xBF or head[3] == 0xD9)
    return suffix == ".msgpack" or small or large


def _pickle_kind(path: Path, head: bytes) -> Kind:
    """Tell the older files of torch.save, which open with a magic number, from other pickles."""
    if TORCH in head[:32]:
        return "torch"
    raise BadFile(
        f"'{path}' is a Python pickle, cut short or not written by torch.save: it could run code when opened",
        expected=EXPECTED,
        todo="where its source is trusted, open it and write the tensors alone with safetensors.torch.save_file",
    )


def _zip_kind(path: Path) -> Kind:
    """Tell the zip archives of torch and numpy from others."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise BadFile(
            f"'{path}' is truncated or corrupt: it begins as a zip archive (.pth, .pt, .bin, .npz) "
            f"and its table of contents is missing from the end ({path.stat().st_size} bytes)",
            todo=AGAIN,
        ) from None
    if any(name.endswith("/constants.pkl") for name in members):
        raise BadFile(
            f"'{path}' is a TorchScript program, not a table of tensors",
            expected=EXPECTED,
            todo="use the weights of the same model, or save the program's state_dict()",
        )
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in members):
        return "torch"
    if members and all(name.endswith(".npy") for name in members):
        return "npz"
    inside = ", ".join(members[:3]) + (", ..." if len(members) > 3 else "") if members else "nothing"
    raise BadFile(
        f"'{path}' is a zip archive of {inside}", expected=EXPECTED, todo="unpack it and name the file inside"
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise a letter was cut at the end of the piece
            return False
        text = head[: error.start].decode("utf-8-sig")
    return text.isprintable() or all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)


def _text_kind(path: Path, head: bytes, size: int) -> Kind:
    """Tell an index of shards from web pages, error messages and other text."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    if re.match(r"<!doctype html|<html|<head|<body", start, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        named = f" ('{' '.join(title[1].split())[:80]}')" if title else ""
        raise BadFile(
            f"'{path}' is a web page{named} saved under the name of a checkpoint",
            expected=EXPECTED,
            todo="download the file itself: the address of the raw file, and log in first if the page asks for it",
        )
    if start[:1] in "{[" and size <= MOST_TEXT:
        return _json_kind(path)
    message = " ".join(re.sub(r"<[^>]*>", " ", start).split())[:100]
    raise BadFile(f"'{path}' is a text file: {message}", expected=EXPECTED, todo=AGAIN)


def _json_kind(path: Path) -> Kind:
    document = read_json(path)
    if isinstance(document, dict) and isinstance(document.get("weight_map"), dict):
        return "index"
    words = document.get("error") or document.get("message") if isinstance(document, dict) else None
    if words:
        raise BadFile(
            f"'{path}' is an error message of a server, saved as a file: {str(words)[:100]}",
            expected=EXPECTED,
            todo="download the file again, with the access it asks for",
        )
    raise BadFile(f"'{path}' is a JSON document without weights", expected=EXPECTED, todo=WEIGHTS)


def read_json(path: Path) -> object:
    """Read a JSON file; raise BadFile if it is missing, a git-lfs pointer, or not JSON."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    _pointer(path, raw[:HEAD])
    try:
        document: object = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"'{path}' is not JSON: {error}", todo="download the file again, or mend it") from None
    return document
