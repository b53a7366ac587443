"""A folder of embeddings that grows and loses nothing: parts of Parquet, each row the outcome of one input.

``writer`` begins and finishes runs, ``part_writer`` makes one part, ``merge`` joins what several workers made,
``reading`` gives rows and vectors back, ``duplicates`` finds equal images, ``clip`` writes the layout of
clip-retrieval. Under them: ``layout`` (names and schemas), ``state`` (what is written down), ``listing``, ``journal``,
``known`` (the index over finished rows), ``finishing`` (the end of a run), ``rows`` and ``tables`` (rows to Arrow and
Parquet, and back), ``opening`` and ``lock``, ``files``.
"""

from snellen.store.clip import clip_layout
from snellen.store.duplicates import Duplicates, duplicates
from snellen.store.lock import Locked
from snellen.store.merge import merge
from snellen.store.part_writer import AlreadyFinished, PartWriter, finished, part_writer
from snellen.store.reading import PartRows, Store
from snellen.store.state import RunState
from snellen.store.writer import Writer

__all__ = [
    "AlreadyFinished",
    "Duplicates",
    "Locked",
    "PartRows",
    "PartWriter",
    "RunState",
    "Store",
    "Writer",
    "clip_layout",
    "duplicates",
    "finished",
    "merge",
    "part_writer",
]
