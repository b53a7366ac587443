"""A headless Chromium, spoken to over a pipe: its own protocol (DevTools), without a port and without other packages.

In: a program and commands. Out: their answers, and the events that came meanwhile. What browsers fetch by themselves is
switched off, and whatever is asked of a network fails at once.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--mute-audio",
    "--proxy-server=127.0.0.1:9",  # where nothing listens
)
PATIENCE = 60.0  # seconds for one answer
GRACE = 10.0  # seconds to end by itself

Facts = dict[str, Any]


class BrowserError(Exception):
    """The browser ended, did not answer, or refused a command."""


def found() -> str | None:
    """Return the program of a Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A running Chromium; ``events`` are those that came and were not taken yet."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._out = _high(os.pipe())
        self._in, to_write = _high(os.pipe())
        ends = [(os.POSIX_SPAWN_DUP2, to_read, 3), (os.POSIX_SPAWN_DUP2, to_write, 4)]
        ends += [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        command = [program, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self._pid = os.posix_spawn(program, command, os.environ, file_actions=ends, setpgroup=0)
        os.close(to_read)
        os.close(to_write)
        self._read, self._asked = b"", 0
        self.events: list[Facts] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrowserError, OSError):  # it may have ended, or stopped answering
            self.call("Browser.close")
        os.close(self._out)
        os.close(self._in)
        until = time.monotonic() + GRACE
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.killpg(self._pid, signal.SIGKILL)  # the group that was made for it alone
                until = math.inf
            time.sleep(0.05)

    def call(self, method: str, session: str | None = None, **values: Any) -> Facts:
        """Send a command and return its result; events that come before it are kept."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": values}
        message |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._asked:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self.events.append(answer)
        raise AssertionError("messages end with an error")

    def wait(self, method: str) -> None:
        """Wait for an event, unless it came already; the others are kept."""
        if any(event.get("method") == method for event in self.events):
            return
        for message in self._messages():
            self.events.append(message)
            if message.get("method") == method:
                return

    def taken(self) -> list[Facts]:
        """Return the events so far, and forget them."""
        found, self.events = self.events, []
        return found

    def _messages(self) -> Iterator[Facts]:
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._read:
                message, self._read = self._read.split(b"\0", 1)
                yield json.loads(message)
            ready, _, _ = select.select([self._in], [], [], max(until - time.monotonic(), 0))
            if not ready:
                raise BrowserError(f"no answer within {PATIENCE:.0f} s")
            more = os.read(self._in, 1 << 20)
            if not more:
                raise BrowserError("the browser ended")
            self._read += more


def _high(ends: tuple[int, int]) -> tuple[int, int]:
    """Move a pipe's ends away from 3 and 4, where the browser expects its own."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
