"""Is it the same encoder there? Golden, reference, candidate; metrics, rules, verdict.

``verify`` puts a candidate on trial. Nothing here is imported before it is used: rules judge a saved record without
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snellen.verification.golden import Golden
    from snellen.verification.inputs import Inputs
    from snellen.verification.trial import verify

__all__ = ["Golden", "Inputs", "verify"]

_HOME = {
    "verify": "snellen.verification.trial",
    "Golden": "snellen.verification.golden",
    "Inputs": "snellen.verification.inputs",
}


def __getattr__(name: str) -> object:
    """Fetch a public name from the module it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'snellen.verification' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
