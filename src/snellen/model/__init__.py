"""Models: load one by name or path, look into a checkpoint, convert one."""

from __future__ import annotations

from snellen.model.convert import convert
from snellen.model.inspect import inspect
from snellen.model.load import load
from snellen.model.model import Model

__all__ = ["Model", "convert", "inspect", "load"]
