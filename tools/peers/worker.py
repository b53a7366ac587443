"""One case in a process of its own: builds it, then waits on standard input to be told what to do, idle until then.

    python tools/peers/worker.py '{"kind": "peer", "name": ..., "side": ..., "peer": ..., "dtype": ..., ...}'

A line of JSON in, a line of JSON out. What libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parent.parent))

Answer = dict[str, Any]
Act = Callable[..., Answer]


def opened(spec: dict[str, Any]) -> dict[str, Act]:
    """Build what the specification asks for; return what it can be told to do."""
    os.environ["OMP_NUM_THREADS"] = str(spec["threads"])
    import torch

    torch.set_num_threads(spec["threads"])
    if spec["kind"] == "ceiling":
        return {"measure": ceiling}
    if spec["kind"] == "end":
        from peers.ends import End

        end = End(spec)
        return {"describe": end.describe, "decode": end.decode, "model": end.model_only, "end": end.end}
    if spec["kind"] == "large":
        from peers import large

        one: Any = large.Peer(spec) if spec["peer"] == "timm" else large.Own(spec)
        return {"describe": one.describe, "measure": one.measure, "vectors": one.vectors}
    from peers.peer import Peer

    peer = Peer(spec)
    return {"describe": peer.describe, "scout": peer.scout, "measure": peer.measure, "embed": peer.embed}


def ceiling(dtype: str) -> Answer:
    """Measure products of matrices."""
    from dataclasses import asdict

    from snellen.timing import ceiling as products

    return asdict(products.measured(dtype))


def trim() -> None:
    """Give freed memory back to the system, for the other workers."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def serve(spec: dict[str, Any], answers: TextIO) -> None:
    """Answer one line after another until there are no more."""

    def answer(act: Callable[[], Answer]) -> None:
        try:
            found = act()
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is what is to be told of it
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        trim()
        print(json.dumps(found), file=answers, flush=True)

    acts: dict[str, Act] = {}

    def build() -> Answer:
        acts.update(opened(spec))
        return acts["describe"]() if "describe" in acts else {}

    answer(build)
    for line in sys.stdin:
        told = json.loads(line)
        act = acts[told.pop("do")]
        answer(lambda act=act, told=told: act(**told))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing but answers on standard output
    serve(json.loads(sys.argv[1]), answers)


if __name__ == "__main__":
    main()
