"""Older versions: the rows that an operation replaces or deletes, found before the index's lock is taken.

Looking for ids in segments takes long: files are read and compared with their checksums. So the one who writes does it
while others read. What must hold:

- nothing else is written meanwhile: a record may move, when its memtable is flushed or its segment merged, but none is
  added;
- under the lock, all parts that there are then were looked into (`covers`). What was found in one stays right, as the
  rows of a segment never change.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pinyon.engine.memtable import Memtable
from pinyon.engine.part import LiveSegment, Part
from pinyon.model.record import Int64s
from pinyon.segment.id_hash import id_hashes

_IDS_AT_ONCE: Final = 10_000
"""Hashing ids is one native call, during which no other thread runs."""


class OlderVersions:
    """Where the older versions of some records are.

    Attributes:
        ids_in_memory: those that the memtables held at first; later, memtables hold no others.
        rows: in each segment that was looked into, the rows of those that were not in memory then, alive or dead.
    """

    def __init__(self, ids: Sequence[str], memtables: Sequence[Memtable]) -> None:
        """Look for `ids`, in no part so far."""
        self._ids = ids
        self.ids_in_memory = [id_ for memtable in memtables for id_ in ids if id_ in memtable.row_of]
        self.rows: dict[LiveSegment, Int64s] = {}

    def covers(self, parts: Sequence[Part]) -> bool:
        """True if all parts were looked into."""
        return all(part.live in self.rows for part in parts)

    def find(self, memtables: Sequence[Memtable], parts: Sequence[Part]) -> None:
        """Look into `parts`, those of one moment, for the ids that `memtables` of that moment do not hold."""
        found = {part: [np.zeros(0, np.int64)] for part in parts if part.live not in self.rows}
        for some in self._slices(memtables) if found else ():
            hashes = id_hashes(some)
            for part, pieces in found.items():
                rows = part.live.segment.find(part.rows, hashes, some)
                pieces.append(rows[rows >= 0])
        # Each row once, as an id may be named twice.
        self.rows |= {part.live: np.unique(np.concatenate(pieces)) for part, pieces in found.items()}

    def _slices(self, memtables: Sequence[Memtable]) -> Iterator[Sequence[str]]:
        for start in range(0, len(self._ids), _IDS_AT_ONCE):
            some = self._ids[start : start + _IDS_AT_ONCE]
            for memtable in memtables:
                some = [id_ for id_ in some if id_ not in memtable.row_of]
            if some:
                yield some
