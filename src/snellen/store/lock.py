"""Who may write: locks that end with the process that holds them, and say who that is.

In: a file, and whether others may hold its lock too. Out: a lock, or an error that names host, process and time of its
holder. What is written in a lock's file is for people; the lock itself is the system's.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from snellen.cache.drafts import same
from snellen.errors import Unavailable, UsageError

try:
    import fcntl
except ImportError:  # Windows
    LOCKING = False
else:
    LOCKING = True

_SHOWN = 3
_PAUSE_S = 0.05


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def holder(what: str) -> dict[str, object]:
    """Return what this process says of itself in a lock."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": now(), "what": what}


def described(entry: object) -> str:
    """Name the holder of a lock, as it wrote itself down."""
    if not isinstance(entry, dict) or "pid" not in entry:
        return "a process that did not write its name"
    return f"process {entry['pid']} on {entry.get('host')}, {entry.get('what')}, since {entry.get('since')}"


class Locked(UsageError):
    """Somebody else has the lock."""


class Lock:
    """The lock of a store, held until ``release``; shared, or for oneself alone."""

    def __init__(self, path: Path, what: str, *, shared: bool, wait: float = 0) -> None:
        """Take the lock, within ``wait`` seconds; raise Locked where somebody has it, Unavailable without locks."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if not flocked(self._descriptor, path, shared=shared, wait=wait):
                raise _refused(path)
            with suppress(OSError):  # a full disk: the lock holds without its text
                if not shared:
                    os.ftruncate(self._descriptor, 0)
                os.write(self._descriptor, json.dumps(holder(what)).encode() + b"\n")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others take it; once is enough."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def flocked(descriptor: int, path: Path, *, shared: bool, wait: float) -> bool:
    """Lock an open file within ``wait`` seconds, or return False because somebody has it."""
    if not LOCKING:
        raise _no_locks(path, "this system has no flock")
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            raise _no_locks(path, error.strerror) from error
        else:
            return True


def open_alone(path: Path, *, wait: float) -> int | None:
    """Open a file that may be removed by others, make it if there is none, and lock it; None: somebody has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not flocked(descriptor, path, shared=False, wait=wait):
                os.close(descriptor)
                return None
        except BaseException:
            os.close(descriptor)
            raise
        if same(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner was done with it, and removed it


def _refused(path: Path) -> Locked:
    holders = _holders(path)
    named = "; ".join(map(described, holders[-_SHOWN:])) or described(None)
    more = f"; and {len(holders) - _SHOWN} more" if len(holders) > _SHOWN else ""
    return Locked(
        f"the store {str(path.parent.parent)!r} is in use: {named}{more}",
        expected="one run at a time, or several with --shard, each with its own",
        todo="wait until it has ended, or stop it: what it has written stays",
    )


def _holders(path: Path) -> list[object]:
    """Return who wrote themselves down, without those of this host that are dead."""
    entries = []
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):
                entries.append(json.loads(line))
    return [entry for entry in entries if not _dead(entry)]


def _dead(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(entry["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError, TypeError, OverflowError):
        return True
    except OSError:  # another user's
        return False
    return False


def _no_locks(path: Path, why: str | None) -> Unavailable:
    return Unavailable(
        f"the folder {str(path.parent)!r} cannot be locked: {why}",
        expected="a file system with locks, so that two runs cannot damage one store",
        todo="write to a local disk (with --shard, each to its own folder), then: snellen merge OUT FOLDER...",
    )
