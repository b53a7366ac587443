"""The precision classes, from the most exact to the least, and how many significant bits each keeps."""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["float32", "hf32", "float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

BITS: dict[str, int] = {"float32": 24, "hf32": 11, "float16": 11, "bfloat16": 8}
"""Significant bits, the implicit one among them."""
