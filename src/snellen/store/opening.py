"""The folder of a store, made or checked, and its lock.

In: a folder and what is to be done with it. Out: the lock that allows it.
"""

from __future__ import annotations

import os

from snellen.errors import UsageError
from snellen.store.files import keeping
from snellen.store.layout import Places
from snellen.store.lock import Lock

_STRANGE = ("lost+found",)


def locked(places: Places, what: str, *, shared: bool) -> Lock:
    """Make the folder of a store where there is none, and return its lock.

    Raises UsageError for a file, and for a folder with other things in it, Locked where somebody has the lock.
    """
    folder = places.folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the output {str(folder)!r} is a file", expected="a folder", todo="name a folder")
    with keeping(folder):
        if folder.is_dir() and not places.inside.is_dir() and not places.manifest.is_file():
            other = [name for name in sorted(os.listdir(folder)) if name[0] != "." and name not in _STRANGE]
            if other:
                more = f" and {len(other) - 3} more" if len(other) > 3 else ""
                raise UsageError(
                    f"the folder {str(folder)!r} is no store, and holds other things: {', '.join(other[:3])}{more}",
                    expected="a new or empty folder, or a store",
                    todo="name another folder; nothing was changed",
                )
        places.inside.mkdir(parents=True, exist_ok=True)
        return Lock(places.lock, what, shared=shared)
