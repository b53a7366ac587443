"""Remote addresses, through fsspec: what lies below them, and streams to list from.

In: addresses such as s3://bucket/key or https://host/x.tar. Out: addresses and streams. fsspec and the package for each
kind of file system are the user's to install; whatever one of them raises becomes an error of ours here.
"""

from __future__ import annotations

import importlib
import io
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from snellen.embed.sources.names import WEB, hidden, printable
from snellen.errors import MissingPackage, SnellenError, Unavailable, UsageError

PACKAGES = {
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "az", "adl"), "adlfs"),
}
"""What has to be installed for the most common kinds of address, beside fsspec."""

WAITS = (0.5, 2.0)
"""Seconds before an address that failed is asked again; not where it says that there is no such file."""

TIMES = ("mtime", "LastModified", "last_modified", "updated", "Last-Modified")
"""Under which names file systems say when a file was last changed."""

SIGNED = re.compile(r"\?[^\s'\"]*")
"""What follows the ? of an address in a message: it may be a signature that gives access."""


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path on it.

    Raises MissingPackage, with the line that installs it, and UsageError for a kind of address that nobody knows.
    """
    kind = url.partition("://")[0].rpartition("::")[2].lower()
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError as error:
        seen = f"{printable(url)!r} is a remote address, and the package fsspec is not installed ({error})"
        raise MissingPackage(seen, todo="pip install 'snellen[remote]'") from error
    try:
        found: tuple[Any, str] = core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(kind)
        todo = f"pip install {package}" if package else f"install what fsspec asks for: {error}"
        raise MissingPackage(
            f"addresses that begin with {kind}:// need another package ({error})", todo=todo
        ) from error
    except ValueError as error:
        seen = f"{printable(url)!r} is an address of no kind that fsspec knows ({error})"
        raise UsageError(seen, expected="https://, s3://, hdfs:// ...", todo="check the spelling") from error
    except Exception as error:  # a file system may raise anything while it connects
        raise unavailable(url, error) from error
    return found


@contextmanager
def listing(url: str) -> Iterator[None]:
    """Raise Unavailable for what a file system raises while what lies at ``url`` is listed."""
    try:
        yield
    except (SnellenError, FileNotFoundError):
        raise
    except Exception as error:  # a file system may raise anything
        raise unavailable(url, error) from error


def below(url: str) -> Iterator[str]:
    """Yield the addresses of all files below one but hidden ones, or those that match one with * in it, sorted.

    The file system gives them at once: they are in memory, all of them.
    """
    fs, path = file_system(url)
    web = url.startswith(WEB)
    with listing(url):
        found = fs.glob(path) if has_magic(url) else fs.find(path)
    stem, root = url.rstrip("/"), path.rstrip("/")
    for each in sorted(found):
        inside = has_magic(url) or not hidden(each[len(path) :])
        if inside and not each.endswith("/") and ".." not in each.split("/"):
            if web:
                yield each
            elif root and stem.endswith(root):  # the name of the host, which the path on the file system is without
                yield stem[: -len(root)] + each
            else:
                yield str(fs.unstrip_protocol(each))


def has_magic(url: str) -> bool:
    """Tell whether an address is a pattern; on the web ? begins a query."""
    return re.search(r"[*\[]" if url.startswith(WEB) else r"[*?\[]", url) is not None


def is_folder(url: str) -> bool:
    """Tell whether files lie below an address; on the web only one that ends in / is asked for them."""
    if url.endswith("/") or url.startswith(WEB):
        return url.endswith("/")
    fs, path = file_system(url)
    with listing(url):
        return bool(fs.isdir(path))


def stream(url: str) -> tuple[Any, int, int | None]:
    """Open a file that can be read from any place: return the stream, its size and its time.

    Raises FileNotFoundError, and Unavailable where it cannot be reached, or read only from its beginning.
    """
    fs, path = file_system(url)
    with listing(url):
        info = fs.info(path)
        if info.get("size") is None:
            seen = f"{printable(url)!r} cannot be read in pieces: the server does not say how long it is"
            raise Unavailable(seen, todo="download it first")
        return Stream(fs.open(path, "rb"), url), int(info["size"]), modified(info)


class Stream(io.RawIOBase):
    """A remote file that is read in pieces; what fails is tried again, and then raised as Unavailable."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url, self._at = file, url, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = int(self._file.seek(offset, whence))
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return how many bytes."""
        for wait in (*WAITS, None):
            try:
                self._file.seek(self._at)
                content = self._file.read(len(buffer))
                break
            except Exception as error:  # a file system may raise anything
                if wait is None:
                    raise unavailable(self._url, error) from error
                time.sleep(wait)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._file.close()
        super().close()


def modified(info: Mapping[str, Any]) -> int | None:
    """Return when a file was last changed, in nanoseconds since 1970, from what a file system says of it."""
    value = next((info[name] for name in TIMES if info.get(name) is not None), None)
    if isinstance(value, str):
        value = _read_time(value)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    return round(value * 1e6) * 1000 if isinstance(value, (int, float)) else None


def _read_time(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    for read in (parsedate_to_datetime, lambda value: datetime.fromisoformat(value.replace("Z", "+00:00"))):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def unavailable(url: str, error: Exception) -> Unavailable:
    """Return the error for an address that cannot be reached while it is listed."""
    todo = "check the address, the network and the access, and run again"
    return Unavailable(f"{printable(url)!r} cannot be read: {why(error)}", todo=todo)


def why(error: Exception) -> str:
    """Return in a few words what another package raised."""
    return SIGNED.sub("?...", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
