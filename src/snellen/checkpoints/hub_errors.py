"""Say what went wrong with the hub in words that help: one table from the library's exceptions to messages.

The classes of huggingface_hub are stable; those of its HTTP client are not (requests, httpx, httpx2), and are
recognised as "everything else". An answer of the hub that forbids or fails leaves a cached copy usable; an answer
that there is no such thing does not.
"""

from __future__ import annotations

import errno
import os

from snellen.checkpoints.snapshots import ways_out
from snellen.errors import WeightsUnavailable

MIRROR = "set HF_ENDPOINT to a mirror that can be reached"
FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class HubError(WeightsUnavailable):
    """The hub did not give what was asked for; ``cache_will_do`` says that an earlier copy may stand in."""

    def __init__(self, seen: str, *, todo: str, cache_will_do: bool = False) -> None:
        super().__init__(seen, todo=todo)
        self.cache_will_do = cache_will_do


def explain(error: Exception, repo_id: str, revision: str, where: tuple[str, str, str]) -> HubError:
    """Translate an exception; ``where`` is the endpoint, the cache folder and the file asked for ("": the list)."""
    from huggingface_hub import errors

    (endpoint, cache, file), error = where, _root(error)
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            f"{repo_id} has no revision '{revision}' at {endpoint}", todo="name a branch, a tag or a full commit of it"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(
            f"{repo_id} ({revision}) lists '{file}' and does not have it at {endpoint}",
            todo=ways_out("try again: the repository may have changed in between; or another mirror"),
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, repo_id, endpoint)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            f"{repo_id} cannot be fetched: HF_HUB_OFFLINE was set when Python started",
            todo=ways_out("start again without it"),
            cache_will_do=True,
        )
    if isinstance(error, OSError) and error.errno in (*FULL, *CLOSED):
        return _not_kept(error, repo_id, file, cache)
    return _unreached(error, repo_id, where)


def _not_kept(error: OSError, repo_id: str, file: str, cache: str) -> HubError:
    """Translate a disk that takes no more."""
    if error.errno in FULL:
        return HubError(
            f"the disk is full: '{file}' of {repo_id} does not fit into '{cache}'",
            todo="free some space, or set HF_HUB_CACHE to a folder on a larger disk",
        )
    return HubError(
        f"the cache '{cache}' cannot be written to: {os.strerror(error.errno or 0)}",
        todo="set HF_HUB_CACHE to a folder of yours",
    )


def _root(error: Exception) -> Exception:
    """Look behind the library's "not in the cache either" for what really happened."""
    from huggingface_hub import errors

    while isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _answered(error: Exception, repo_id: str, endpoint: str) -> HubError:
    """Translate an answer that refuses."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, errors.GatedRepoError):
        token = "the token in use has no access" if _has_token() else "no token is set"
        return HubError(
            f"{repo_id} is gated: its owner grants access to accounts one by one, and {token}",
            todo=ways_out(
                f"ask for access on the repository's page at {endpoint} and set HF_TOKEN, "
                "or set HF_ENDPOINT to a mirror that has it"
            ),
            cache_will_do=True,
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        hidden = "" if _has_token() else " (a private one is shown only to a token, and none is set)"
        return HubError(
            f"there is no repository {repo_id} at {endpoint}{hidden}",
            todo=ways_out("check the spelling; set HF_TOKEN if it is private"),
            cache_will_do=status == 401,
        )
    if status in (401, 403) or isinstance(error, errors.DisabledRepoError):
        return HubError(
            f"{endpoint} refuses access to {repo_id} (HTTP {status})",
            todo=ways_out("check HF_TOKEN: it may be wrong, expired, or without the right to read"),
            cache_will_do=True,
        )
    return HubError(
        f"{endpoint} answered HTTP {status} when asked for {repo_id}",
        todo=ways_out(f"try again later, or {MIRROR}"),
        cache_will_do=status == 429 or status >= 500,
    )


def _unreached(error: Exception, repo_id: str, where: tuple[str, str, str]) -> HubError:
    """Translate no answer, or one that broke off."""
    from huggingface_hub import errors

    endpoint, _, file = where
    reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:200]
    if file and not isinstance(error, errors.FileMetadataError):
        return HubError(
            f"the download of '{file}' of {repo_id} from {endpoint} broke off ({reason})",
            todo=ways_out(
                "run the same command again, files that arrived are kept; where a mirror has no Xet storage, "
                "set HF_HUB_DISABLE_XET=1"
            ),
        )
    return HubError(
        f"{endpoint} cannot be reached, or is no model hub ({reason})", todo=ways_out(MIRROR), cache_will_do=True
    )


def _has_token() -> bool:
    from huggingface_hub import get_token

    return bool(get_token())
