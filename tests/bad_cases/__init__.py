"""Bad names, files, images and commands, and the message each gives: one table, tested and printed as documentation."""

from __future__ import annotations

from bad_cases import commands, contents, images, names, weights
from bad_cases.table import ANYTHING, Place, Row

__all__ = ["ANYTHING", "ROWS", "Place", "Row"]

ROWS: tuple[Row, ...] = tuple(
    row for module in (names, weights, contents, images, commands) for row in module.TABLE.rows
)
