"""A network's files, and how they are read. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snellen.errors import Unavailable

NETWORK = "network.xml"
"""The network's file; its weights lie beside it, under the same name ending in .bin."""

OUTPUTS = "outputs.json"
"""Where each output of a network lies: two outputs may be one tensor, and OpenVINO adds names of its own."""


class Unreadable(Unavailable):
    """A network's files are there, but OpenVINO cannot read them."""


def read(core: Any, network: Path) -> Any:
    """Return a network from its file; raise Unreadable where OpenVINO cannot read it."""
    try:
        return core.read_model(str(network))
    except RuntimeError as error:
        raise _unreadable(network, said(error)) from error


def said(error: Exception) -> str:
    """Return what OpenVINO says of an error, without the places in its own code that it lists before."""
    lines = [line.strip() for line in str(error).splitlines()]
    words = [line for line in lines if line and not line.startswith("Exception from ")]
    return " ".join(words[:2]) or type(error).__name__


def places_of(network: Path) -> dict[str, int]:
    """Return where each output of a network lies; raise Unreadable where that cannot be read."""
    try:
        places: dict[str, int] = json.loads((network.parent / OUTPUTS).read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text
        raise _unreadable(network, f"{OUTPUTS} beside it says nothing") from error
    return places


def _unreadable(network: Path, why: str) -> Unreadable:
    return Unreadable(
        f"OpenVINO cannot read '{network}': {why}",
        expected="a network as it was written",
        todo="remove it and have it written again",
    )
