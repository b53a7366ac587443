"""Run the command blocks of README.md and write what they print into both READMEs.

    python tools/readme.py

In: the commands as README.md has them. Out: README.md and README.zh-CN.md with the outputs in place; the blocks of the
second are those of the first, in the same order. ``tests/test_readme.py`` checks that nothing has changed since.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from readme_blocks import BLOCK, MORE, Block, blocks, demo, folder, run, steps  # noqa: E402

NAMES = ("README.md", "README.zh-CN.md")


def written(block: Block, before: Block | None, where: Path) -> str:
    """Return the text of a block with its output as it is now; one that is shortened by hand stays as it is."""
    if block.marker == "make demo":
        return demo(where)
    if block.marker is None and block.kind == "console":
        parts = ((step, run("console", step.command, where)) for step in steps(block))
        return "".join(f"$ {s.command}\n{s.output if MORE in s.output.splitlines() else out}" for s, out in parts)
    if block.kind == "text" and before is not None and before.kind == "python":
        return run("python", before.body, where)
    return block.body


def replaced(text: str, bodies: list[str]) -> str:
    """Put new bodies into the blocks of a README, one after another."""
    new = iter(bodies)
    return BLOCK.sub(lambda m: m[0][: m.start("body") - m.start()] + next(new) + "```\n", text)


def main() -> int:
    first = (ROOT / NAMES[0]).read_text(encoding="utf-8")
    found = blocks(first)
    with tempfile.TemporaryDirectory() as tmp:
        where = folder(Path(tmp))
        bodies = [written(block, before, where) for block, before in zip(found, [None, *found], strict=False)]
    for name in NAMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        if len(blocks(text)) != len(bodies):
            print(f"{name} has {len(blocks(text))} blocks, {NAMES[0]} {len(bodies)}", file=sys.stderr)
            return 1
        (ROOT / name).write_text(replaced(text, bodies), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
