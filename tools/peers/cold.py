"""Processes from their start to a first embedding, and how much memory one takes: measured from outside of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from peers.cases import LARGE, SMALL, THREADS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PHOTO = ROOT / "src" / "snellen" / "photos" / "cat.jpg"
ONE_WAY = {"OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
WRITE = "import snellen, sys; snellen.convert('seed:0', sys.argv[1], dialect=sys.argv[2], name=sys.argv[3])"


def cold_starts(folder: Path, rounds: int) -> dict[str, Any]:
    """Time fresh processes in alternation: weights on disk, one photograph, to the first line that is printed."""
    commands = _commands(folder)
    env = {**os.environ, "SNELLEN_CACHE": str(folder / "cache-cold")}
    first = {name: _timed(command, env)["first_s"] for name, command in commands.items()}  # fills caches
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    drawn = random.Random(0)
    for _ in range(rounds):
        for name in drawn.sample(list(commands), len(commands)):
            found[name].append(_timed(commands[name], env))
    return {"rounds": found, "filling_s": first, "name": SMALL}


def memory(folder: Path) -> dict[str, Any]:
    """Return the peak of a converting run and of one with a warm cache, float32, and the size of the weights."""
    weights = _written(folder, "transformers", LARGE)
    env = {**os.environ, "SNELLEN_CACHE": str(folder / "cache-memory")}
    command = _embed(weights, LARGE)
    size = sum(path.stat().st_size for path in weights.glob("*.safetensors"))
    first, warm = _peak(command, env), _peak(command, env)
    return {"name": LARGE, "weights_bytes": size, "first_bytes": first, "warm_bytes": warm}


def _commands(folder: Path) -> dict[str, list[str]]:
    timm = _written(folder, "timm", SMALL)
    hub = _written(folder, "transformers", SMALL)
    return {
        "timm": [sys.executable, str(HERE / "cold_timm.py"), str(timm / "model.safetensors"), SMALL, str(PHOTO)],
        "transformers": [sys.executable, str(HERE / "cold_transformers.py"), str(hub), str(PHOTO)],
        "snellen": _embed(timm, SMALL),
    }


def _embed(weights: Path, name: str) -> list[str]:
    program = str(Path(sys.executable).parent / "snellen")
    return [program, "embed", str(PHOTO), "-m", name, "--weights", str(weights), "--json", "--quiet"]


def _written(folder: Path, dialect: str, name: str) -> Path:
    """Write weights drawn from seed 0 as a library keeps them, in a folder of their own."""
    path = folder / f"{dialect}-{name.rpartition('/')[2]}"
    if not path.exists():
        subprocess.run([sys.executable, "-c", WRITE, str(path), dialect, name], check=True, stdout=sys.stderr)
    return path


def _timed(command: Sequence[str], env: dict[str, str]) -> dict[str, float]:
    """Return the seconds to the first line on standard output, and to the end."""
    with TemporaryFile() as errors:
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env={**env, **ONE_WAY}) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            first = time.perf_counter() - begin
            process.stdout.read()
        end = time.perf_counter() - begin
        if process.returncode or not line.strip():
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read().decode()}")
    return {"first_s": first, "end_s": end}


def _peak(command: Sequence[str], env: dict[str, str]) -> int:
    """Return the largest resident size of a process, in bytes."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
