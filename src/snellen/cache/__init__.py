"""What snellen keeps between runs: the one place for derived files, all of which can be made again.

Entries are folders (a compiled model of gigabytes), documents are small JSON objects (which request led to which
entry, a tuned plan). ``find`` and ``make`` an entry, ``recall`` and ``remember`` a document. Under the root:

    entries/KIND/KEY/           files, and a manifest with their names and sizes; never changed once it is there
    documents/KIND/KEY.json
    drafts/                     what is being made, and what is being removed
    lock                        held for the moment in which something under entries/ appears or disappears

* What is there is whole: it is written aside, brought to the disk and renamed. A killed process leaves a draft; the
  next one that makes something removes it, for the system has taken back the lock of its owner.
* An entry whose files are missing or have another size is discarded, held or not, and counts as absent. The bytes in
  its files are not read: a change that leaves the size alone is not seen.
* Entries together stay within ``limit``: those longest unused go first, but not one that is held, in whatever process,
  and not the one just made, however large. The space is made after an entry is there, so that both need room for a
  moment. Documents are small, are not counted and stay.

Locks are the system's ``flock``. Where there is none (Windows), nothing is locked: two processes may then get into each
other's way, and only a system that refuses to move and remove open files keeps an entry in use, or a draft, from being
removed. A file system without locks is refused, by the error it gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snellen.cache import drafts, entries
from snellen.cache.entries import Held
from snellen.cache.places import about_disk, limit, reaching, refusal, root, safe

__all__ = ["Held", "find", "limit", "make", "recall", "remember", "root"]


def find(kind: str, key: str) -> Held | None:
    """Return the entry, held and marked as used now, or None; a damaged one is discarded, and None.

    Raises Unavailable if the cache cannot be read, UsageError for a kind or key that is no safe name.
    """
    base, place = root(), _entry(kind, key)
    with reaching(base):
        return entries.find(base, place)


def make(kind: str, key: str, fill: Callable[[Path], object]) -> Held:
    """Return the entry, held; where there is none, have ``fill`` write its files into an empty folder and publish it.

    ``fill`` has to raise an error where it cannot write all. If another process is there first, its entry is returned.
    Raises Unavailable if the cache cannot be written or is full, and what ``fill`` raises; then nothing is published.
    """
    most = limit()  # a limit that cannot be read is refused before the work, not after
    found = find(kind, key)
    if found is not None:
        return found
    base, place = root(), _entry(kind, key)
    with drafts.Draft(base) as draft:
        with reaching(base):
            draft.path.mkdir()
        try:
            fill(draft.path)
        except OSError as error:
            if about_disk(error):
                raise refusal(base, error) from error
            raise  # of what the files are made from
        with reaching(base):
            entries.seal(draft.path)
            return entries.publish(base, draft.path, place, most)


def remember(kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Keep a JSON object; it replaces an older one at once. Raises Unavailable if it cannot be written."""
    base, place = root(), _document(kind, key)
    text = json.dumps(dict(document), indent=1)  # in ASCII: a path may hold bytes that are no text
    with drafts.Draft(base) as draft, reaching(base):
        with draft.path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.path.replace(place)
        drafts.sync_folder(place.parent)


def recall(kind: str, key: str) -> dict[str, Any] | None:
    """Return the JSON object, or None if there is none or it is broken; raises Unavailable if it cannot be read."""
    place = _document(kind, key)
    with reaching(root()):
        try:
            document = json.loads(place.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):  # not JSON, or not text
            return None
    return document if isinstance(document, dict) else None


def _entry(kind: str, key: str) -> Path:
    return root() / "entries" / safe(kind) / safe(key)


def _document(kind: str, key: str) -> Path:
    return root() / "documents" / safe(kind) / f"{safe(key)}.json"
