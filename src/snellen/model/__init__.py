"""Models: load one by name or path, look into a checkpoint, convert one."""

from __future__ import annotations

from snellen.model.conversion import convert
from snellen.model.inspection import inspect
from snellen.model.loading import load
from snellen.model.model import Model

__all__ = ["Model", "convert", "inspect", "load"]
