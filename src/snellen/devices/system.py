"""What a look at a machine may read: its files, its variables, its commands, the packages that are installed.

In: nothing. Out: ``System``, the machine as it is, or as a test says it is. Every command runs through ``System.run``,
with a time after which it is given up: the tools of a driver that hangs do not answer. Imports no torch.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

SHOWN = 300  # letters of what a command said that are repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command printed, and how it ended."""

    code: int | None = 0  # None: it could not be started, or did not end in time
    text: str = ""
    errors: str = ""  # of stderr; where there is no code, why
    missing: bool = False  # there is no such command

    @property
    def said(self) -> str:
        """Return what it said, for a person: errors first, in one line."""
        lines = [line.strip() for line in f"{self.errors}\n{self.text}".splitlines() if line.strip()]
        return " / ".join(lines[:4])[:SHOWN] or f"exit code {self.code}, and not a word"

    def by(self, tool: str) -> str:
        """Return what it said, after the tool's name; where there was no answer, that is named already."""
        return self.said if self.code is None else f"{tool}: {self.said}"


Run = Callable[[Sequence[str], float], Output]
"""Run a command, for so many seconds at most."""


def run(command: Sequence[str], seconds: float) -> Output:
    """Run a command and return what it printed; never raise because of what it does."""
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        return Output(code=None, errors=f"{command[0]} was not found", missing=True)
    except OSError as error:
        return Output(code=None, errors=f"{command[0]} could not be started: {error.strerror or error}")
    with process:
        try:
            text, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that waits for a broken driver cannot even be killed
                process.communicate(timeout=1)
            return Output(code=None, errors=f"{command[0]} gave no answer within {seconds:g} s")
    return Output(code=process.returncode, text=text, errors=errors)


def version(package: str) -> str | None:
    """Return the version of an installed package, without importing it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def requirements(package: str) -> tuple[str, ...]:
    """Return what an installed package asks for, as its metadata has it; nothing where it is not installed."""
    try:
        return tuple(metadata.requires(package) or ())
    except metadata.PackageNotFoundError:
        return ()


def free(path: Path) -> int:
    """Return how many bytes a user may still write to the disk that ``path`` lies on."""
    return shutil.disk_usage(path).free


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _home() -> Path:
    return Path(os.path.expanduser("~"))


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A machine, as far as it can be looked at."""

    root: Path = Path("/")  # below which the system's own files lie
    home: Path = field(default_factory=_home)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    run: Run = field(default=run)
    version: Callable[[str], str | None] = field(default=version)
    requirements: Callable[[str], tuple[str, ...]] = field(default=requirements)
    free: Callable[[Path], int] = field(default=free)
    processors: int = field(default_factory=_processors)  # that this process may run on
    machine: str = field(default_factory=platform.machine)
    name: str = field(default_factory=platform.system)

    def at(self, path: str | Path) -> Path:
        """Return where a file of the system lies: below ``root``."""
        return self.root / str(path).lstrip("/")

    def writable(self, folder: Path) -> bool:
        """Tell whether files could be written to a folder, or the folder be made; nothing is tried."""
        there = next(path for path in (folder, *folder.parents) if path.exists() or path == path.parent)
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

    def settings(self, path: Path) -> dict[str, str]:
        """Return the ``key=value`` lines of a file; nothing where it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
        return {key.strip(): value.strip() for key, _, value in pairs}

    def told(self, names: Sequence[str]) -> dict[str, str]:
        """Return those of the variables that are set."""
        return {name: self.environ[name] for name in names if name in self.environ}
