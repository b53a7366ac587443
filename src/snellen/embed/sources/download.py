"""The bytes of remote files, whole or in pieces, asked for again where that may help.

In: addresses for fsspec. Out: ``Data`` and bytes; Missing for what does not exist, ImageError for all else.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from snellen.embed.sources import remote
from snellen.embed.sources.data import LIMIT, Data, cut_short, forbidden, large, missing, unreadable
from snellen.embed.sources.names import WEB, printable
from snellen.embed.sources.remote import file_system, modified, why
from snellen.errors import ImageError, SnellenError

T = TypeVar("T")

ARCHIVES = 64
"""Archives of which it is remembered when they were changed, and file systems that are."""

ABSENT, REFUSED = (404, 410), (400, 401, 403)
"""Answers of a web server that will be the same in a while."""


class Remote:
    """Remote files; thread-safe as far as the file systems are."""

    def __init__(self) -> None:
        self._systems: dict[str, Any] = {}
        self._times: OrderedDict[str, int | None] = OrderedDict()

    def whole(self, url: str) -> Data:
        """Read a file. Raises ImageError, Missing and TooLarge."""
        fs, path = self._at(url)
        read = _download if url.startswith(WEB) else _fetch
        return _patiently(url, lambda: read(fs, path, repr(printable(url))))

    def piece(self, url: str, offset: int, size: int) -> bytes:
        """Read ``size`` bytes from ``offset`` on; raise what ``whole`` raises, and ImageError where others came."""
        name = f"{printable(url)!r}, from byte {offset} on,"
        if size > LIMIT:
            raise large(name, size)
        fs, path = self._at(url)
        content: bytes = _patiently(url, lambda: fs.cat_file(path, start=offset, end=offset + size))
        if len(content) != size:
            raise cut_short(name, size, len(content))
        return content

    def time(self, url: str) -> int | None:
        """Return when an archive was changed, asked for once for all pieces of it."""
        if url not in self._times:
            found = self.stat(url)
            self._times[url] = found and found[1]
            while len(self._times) > ARCHIVES:
                self._times.popitem(last=False)
        return self._times.get(url)

    def stat(self, url: str) -> tuple[int, int] | None:
        """Return the size of a file and when it was changed, None where the file system does not say."""
        fs, path = self._at(url)
        try:
            info = fs.info(path)
        except Exception:  # noqa: BLE001 - a file system may raise anything; reading the file will say what
            return None
        size, changed = info.get("size"), modified(info)
        return None if size is None or changed is None else (int(size), changed)

    def _at(self, url: str) -> tuple[Any, str]:
        """Return the file system and the path; one file system for all threads, and so one listing and connection."""
        kind, _, rest = url.partition("://")
        if "::" in url:
            return file_system(url)
        key = kind if url.startswith(WEB) else f"{kind}://{rest.partition('/')[0]}"
        fs = self._systems.get(key)
        if fs is None:
            if len(self._systems) >= ARCHIVES:
                self._systems.clear()
            fs = self._systems[key] = file_system(url)[0]
        return fs, fs._strip_protocol(url)


def _fetch(fs: Any, path: str, name: str) -> Data:
    """Read a file whose size is told beforehand."""
    info = fs.info(path)
    if info.get("type") == "directory":
        raise ImageError(f"{name} is a folder", expected="an image file", todo="name the files inside it")
    size = info.get("size")
    if size is not None and size > LIMIT:
        raise large(name, size)
    content: bytes = fs.cat_file(path)
    if size is not None and len(content) != size:
        raise OSError(f"{len(content)} of {size} bytes came")
    return Data(content, len(content), modified(info))


def _download(fs: Any, path: str, name: str) -> Data:
    """Read a file from the web by one request, and no more of it than LIMIT."""
    pieces, total = [], 0
    with fs.open(path, "rb", block_size=0, size=1) as answer:  # as it comes: neither its size nor a piece is asked for
        while piece := answer.read(1 << 20):
            pieces.append(piece)
            total += len(piece)
            if total > LIMIT:
                raise large(name)
        return Data(b"".join(pieces), total, modified(answer.r.headers))


def _patiently(url: str, read: Callable[[], T]) -> T:
    """Read, and again after a while where it failed for a reason that may pass; raise ImageError or Missing."""
    name = repr(printable(url))
    for wait in (*remote.WAITS, None):
        try:
            return read()
        except SnellenError:
            raise
        except FileNotFoundError as error:
            raise missing(name) from error
        except PermissionError as error:
            raise forbidden(name) from error
        except Exception as error:  # a file system may raise anything
            if getattr(error, "status", None) in ABSENT:
                raise missing(name) from error
            if wait is None or getattr(error, "status", None) in REFUSED:
                raise unreadable(name, why(error)) from error
            time.sleep(wait)
    raise AssertionError("unreachable")
