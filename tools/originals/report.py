"""Show what was found: a table for the terminal, and the same in Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from originals.result import PARTS, Claim, Row

HEAD = ("family", "encoder", "direction", "input", "strict", *PARTS, "limits", "result")

TEXT = """# Against the original code

Written by `tools/check_originals.py`. timm and transformers are installed with the tests and compared there; the code
of the original authors is not on any package index, and some of it may not be copied, so it is imported from clones
that you name:

```text
git clone https://github.com/facebookresearch/dinov2
git clone https://github.com/facebookresearch/dinov3
git clone https://github.com/apple/ml-aim
git clone https://github.com/google-research/vision_transformer
python -m venv jax && jax/bin/pip install jax flax scipy ml_collections packaging
python tools/check_originals.py --dinov2 dinov2 --dinov3 dinov3 --aim ml-aim --vit vision_transformer \\
    --python jax/bin/python --markdown docs/originals.md
```

Any of them may be left out. With `--quick` only shrunken encoders are compared. The exit code is 0 if everything
passed, 1 if something did not, 3 if nothing was compared.

Weights are drawn from a seed, so that every tensor counts. *ours -> theirs*: written by snellen, loaded by their own
loader, strictly, run by their code; compared with snellen under the original name. *theirs -> ours*: their freshly
built module, every parameter drawn anew, saved, loaded by snellen, which accounts for every tensor. Encoders with the
name of a variant are full-size, the others are shrunk to a few blocks by wrapping the class that their entry point
calls, so that all other settings are theirs.

Each cell is the relative Frobenius difference in float32 and in float64: of class token and pooled vector, registers,
patch tokens, the patch tokens of all blocks (ConvNeXt: stages), logits. A dash: this encoder, or their code, has no
such output. In float32 their code runs as it is. In float64 it is made to work in float64 throughout, so that nothing
but a difference in what is computed can show: otherwise the patch centres of DINOv3's RoPE, the resizing of DINOv2's
positions and the arithmetic of ViT's blocks stay in float32, whatever the model's dtype. Their ViT loader knows square
grids only; for the others the same call of `scipy.ndimage.zoom` is made with one factor for each axis. AIMv2 takes one
input size.
"""


@dataclass(frozen=True)
class Found:
    """All that was found, and with what."""

    rows: Sequence[Row]
    claims: Sequence[Claim]
    commits: dict[str, str]
    versions: dict[str, str]

    @property
    def passed(self) -> bool:
        """Tell whether everything passed; nothing compared is no pass."""
        return bool(self.rows) and all(r.passed for r in self.rows) and all(c.holds for c in self.claims)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells in the order of HEAD."""
    size = f"{row.size[0]} x {row.size[1]}" if row.size else "-"
    differences = (_pair(row.single.get(part), row.double.get(part)) for part in PARTS)
    limits = f"{row.single_limit:.0e} / {row.double_limit:.0e}" if row.single else "-"
    result = "pass" if row.passed else "FAIL" + (f": {row.fault}" if row.fault else "")
    return (row.family, row.kind, row.direction, size, "yes" if row.loads else "no", *differences, limits, result)


def _pair(single: float | None, double: float | None) -> str:
    if single is None or double is None:
        return "-"
    return f"{_number(single)} / {_number(double)}"


def _number(value: float) -> str:
    return f"{value:.0e}" if value else "0"


def text(rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in columns; the last is as wide as it is."""
    table = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) - 1)] + [0]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in table)


def markdown(found: Found) -> str:
    """Return the document."""
    commits = "\n".join(f"* {repository} at `{commit}`" for repository, commit in found.commits.items())
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    claims = [(c.family, c.text, c.seen, "yes" if c.holds else "NO") for c in found.claims]
    return "\n".join(
        (
            TEXT,
            f"Run on {date.today().isoformat()}, on a {machine()}, with {versions}, against:\n",
            commits,
            "\n## Outputs\n",
            _table(HEAD, [cells(row) for row in found.rows]),
            "\n## What snellen relies on\n",
            _table(("family", "statement", "seen", "holds"), claims),
            "",
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def machine() -> str:
    """Say what the machine is, in words."""
    return f"{os.cpu_count()}-core {platform.machine().replace('_', '-')} machine"


def commit(clone: Path) -> str:
    """Return the commit of a clone, and whether its files were changed since."""
    head = _git(clone, "rev-parse", "HEAD")
    if not head:
        return "unknown commit: not a clone"
    changed = [line for line in _git(clone, "status", "--porcelain").splitlines() if line.endswith(".py")]
    return head + (" (changed)" if changed else "")


def _git(clone: Path, *arguments: str) -> str:
    if not (clone / ".git").exists():
        return ""
    done = subprocess.run(["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.rstrip()


def versions() -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    packages = ("torch", "numpy")
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}
