"""The model hub: which one, whether it answers, whether a token is set.

In: the settings of the hub's own library. Out: findings and facts. The hub is asked the way a download asks
it, through the same library, so that certificates, proxies and a token are those of a download. A token is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from snellen.checkpoints.hub import Hub
from snellen.checkpoints.hub_errors import explain
from snellen.records.doctor import Finding

REPOSITORY = "timm/vit_small_patch14_dinov2.lvd142m"  # public, small, and in every table of ours
SECONDS = 3.0
OFFICIAL = "https://huggingface.co"


def look(*, offline: bool) -> tuple[tuple[Finding, ...], dict[str, Any]]:
    """Return what is to be said of the hub; ``offline``: do not ask it."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        return (_absent(error),), {}
    hub = Hub.from_environment()
    facts: dict[str, Any] = {"endpoint": masked(hub.endpoint), "offline": hub.offline, "token": _has_token()}
    findings = [*_reached(hub, facts, offline=offline), _token(facts["token"])]
    return tuple(findings), facts


def _absent(error: ImportError) -> Finding:
    return Finding(
        name="hub.package",
        severity="warning",
        seen=f"huggingface_hub cannot be imported: {error}",
        matters="no weights can be fetched from a hub",
        mend="pip install --force-reinstall huggingface_hub",
    )


def masked(address: str) -> str:
    """Return an address without name and password."""
    return re.sub(r"(?<=//)[^/@\s]*@", "", address)


def _reached(hub: Hub, facts: dict[str, Any], *, offline: bool) -> Iterator[Finding]:
    name, address = "hub.reachable", facts["endpoint"]
    mirror = "" if hub.endpoint == OFFICIAL else ", a mirror (HF_ENDPOINT)"
    if hub.offline:
        yield Finding(
            name="hub.offline",
            severity="note",
            seen="HF_HUB_OFFLINE is set",
            matters="weights that are not in the cache are not fetched",
            mend="unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE",
        )
        return
    if offline:
        yield Finding(name=name, severity="fine", seen=f"{address}{mirror}, not asked (--offline)")
        return
    trouble = _trouble(hub)
    facts["reachable"] = trouble is None
    if trouble is None:
        yield Finding(name=name, severity="fine", seen=f"{address}{mirror} answers")
        return
    mend = "export HF_ENDPOINT=https://..., a mirror that can be reached"
    yield Finding(
        name=name,
        severity="warning",
        seen=masked(trouble),
        matters="weights that are neither here nor in the cache cannot be fetched",
        mend="unset HF_ENDPOINT, or set it to a mirror that can be reached" if mirror else mend,
    )


def _trouble(hub: Hub) -> str | None:
    """Ask for a repository; return why no answer of a hub came, or None: one that it has no such repository will do."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi(endpoint=hub.endpoint, library_name="snellen").model_info(REPOSITORY, timeout=SECONDS)
    except errors.RepositoryNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  (the classes differ between versions of library and client)
        return explain(error, REPOSITORY, "main", (hub.endpoint, str(hub.cache), "")).seen
    return None


def _token(there: bool) -> Finding:
    if there:
        return Finding(name="hub.token", severity="fine", seen="a token is set")
    return Finding(
        name="hub.token",
        severity="note",
        seen="no token is set",
        matters="gated weights (DINOv3's on the hub) are given only to an account that was granted access",
        mend="hf auth login, or export HF_TOKEN=...",
    )


def _has_token() -> bool:
    from huggingface_hub import get_token

    return bool(get_token())
