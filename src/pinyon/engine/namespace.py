"""A namespace: what of it is in memory, and what is in segments.

At any moment an id is alive in at most one place: in the memtable, in the frozen memtable that is being flushed, or in
one part. So the order of the places does not matter, and a write marks older versions as dead in all of them.

Thread rule: under the index's lock, but for `places_in_parts` and `ids_in_part`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np

from pinyon.engine.block import Block
from pinyon.engine.memtable import Memtable
from pinyon.engine.older_versions import OlderVersions
from pinyon.engine.part import Part
from pinyon.engine.places import Place
from pinyon.engine.view import View
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Int64s, Lsn, RecordBatch
from pinyon.segment.id_hash import id_hashes

_LISTED_ROWS: Final = 256

_LAST_LSN: Final[Lsn] = 2**64 - 2
"""Newer than any: only rows that never died are alive then."""


class Namespace:
    """Records that are written and searched alone.

    Attributes:
        name: as shown; the default namespace is "__default__".
        memtable: its newest records; None while there are none.
        frozen: the memtable that is being flushed; None while there is none.
        parts: its rows in segments, replaced as a whole.
        stored_count: rows of `parts` that are alive.
        declared: True if it was created explicitly; it then exists even when empty.
        filterable_fields: metadata fields that filters may use; None inherits the index's.
        deleted_lsn: when it was deleted as a whole, or ended with its last record; None while it exists.
    """

    __slots__ = (
        "_dimension",
        "declared",
        "deleted_lsn",
        "filterable_fields",
        "frozen",
        "memtable",
        "name",
        "parts",
        "stored_count",
    )

    def __init__(
        self,
        name: str,
        dimension: int | None,
        *,
        declared: bool = False,
        filterable_fields: tuple[str, ...] | None = None,
    ) -> None:
        """Start with no records."""
        self._dimension = dimension
        self.name = name
        self.memtable: Memtable | None = None
        self.frozen: Memtable | None = None
        self.parts: tuple[Part, ...] = ()
        self.stored_count = 0
        self.declared = declared
        self.filterable_fields = filterable_fields
        self.deleted_lsn: Lsn | None = None

    @property
    def record_count(self) -> int:
        """Live records."""
        return sum(map(len, self.memtables)) + self.stored_count

    @property
    def memtables(self) -> tuple[Memtable, ...]:
        """Those that there are, the newest first."""
        return tuple(each for each in (self.memtable, self.frozen) if each is not None)

    @property
    def is_listed(self) -> bool:
        """True if it has records or was declared; else it ends."""
        return self.declared or self.record_count > 0

    def upsert(self, records: Iterable[RecordBatch | Block], older: OlderVersions, lsn: Lsn) -> None:
        """Write whole records, whose ids are unique; `older`, their older versions, covers `parts`."""
        if self.memtable is None:
            self.memtable = Memtable(self._dimension)
        for some in records:
            self.memtable.upsert(some, lsn)
        self._bury(older, lsn)

    def delete(self, older: OlderVersions, lsn: Lsn) -> None:
        """Delete records; `older`, all that there is of them, covers `parts`."""
        if self.memtable is not None:
            self.memtable.delete(older.ids_in_memory, lsn)
        self._bury(older, lsn)

    def delete_all(self, lsn: Lsn) -> None:
        """Mark the rows of all parts as dead; the memtables go with the object."""
        self.deleted_lsn = lsn
        for part in self.parts:
            part.live.mark_dead(slice(part.rows.start, part.rows.stop), lsn)

    def ids_in_memory(self, prefix: str, after: str | None, limit: int) -> list[list[str]]:
        """Of each memtable the first `limit` live ids with `prefix`, in byte order, those after `after`."""
        return [list(islice(memtable.ids_from(prefix, after), limit)) for memtable in self.memtables]

    def view(self, lsn: Lsn) -> View:
        """What a read at `lsn`, the newest applied one, sees."""
        return View(lsn, tuple(memtable.view(lsn) for memtable in self.memtables), self.parts)

    def describe(self) -> NamespaceDescription:
        """The namespace's numbers now."""
        return NamespaceDescription(self.name, self.record_count, self.size_bytes, self.filterable_fields)

    @property
    def size_bytes(self) -> int:
        """Bytes of vectors, metadata and ids, dead rows too."""
        return sum(each.size_bytes for each in self.memtables) + sum(part.size_bytes for part in self.parts)

    def _bury(self, older: OlderVersions, lsn: Lsn) -> None:
        """Mark older versions as dead wherever they are but in the memtable."""
        if self.frozen is not None:
            self.frozen.delete(older.ids_in_memory, lsn)
        for part in self.parts:
            rows = _alive_now(part, older.rows[part.live])
            if len(rows):
                part.live.mark_dead(rows, lsn)
                self.stored_count -= len(rows)


def locate(memtables: Sequence[Memtable], parts: Sequence[Part], ids: Sequence[str]) -> list[Place]:
    """Where the live records of `ids` are, in that order; those that do not exist are left out.

    Not under the lock only where nobody else writes.
    """
    places = places_in_memory(memtables, ids)
    if parts:
        places |= places_in_parts(parts, [id_ for id_ in ids if id_ not in places])
    return [places[id_] for id_ in ids if id_ in places]


def places_in_memory(memtables: Sequence[Memtable], ids: Sequence[str]) -> dict[str, Place]:
    """Where those of `ids` are that memtables hold."""
    places: dict[str, Place] = {}
    for memtable in memtables:
        for id_ in ids:
            found = memtable.locate(id_)
            if found is not None:
                places[id_] = found
    return places


def places_in_parts(parts: Sequence[Part], ids: Sequence[str], lsn: Lsn | None = None) -> dict[str, Place]:
    """Where those of `ids` are that parts hold, alive for a view at `lsn` or, without one, alive now."""
    places: dict[str, Place] = {}
    hashes = id_hashes(ids)
    for part in parts if len(ids) else ():
        rows = part.live.segment.find(part.rows, hashes, ids)
        found = np.flatnonzero(rows >= 0)
        alive = part.live.alive_at(rows[found], _LAST_LSN if lsn is None else lsn)
        for position in (found if alive is None else found[alive]).tolist():
            places[ids[position]] = (part.live, int(rows[position]))
    return places


def _alive_now(part: Part, rows: Int64s) -> Int64s:
    alive = part.live.alive_at(rows, _LAST_LSN)
    return rows if alive is None else rows[alive]


def ids_in_part(part: Part, prefix: str, after: str | None, lsn: Lsn) -> Iterator[str]:
    """Ids of a part that are alive for a view at `lsn`, with `prefix`, in byte order, those after `after`."""
    found = part.live.segment.ids_from(part.rows, prefix, after)
    while some := list(islice(found, _LISTED_ROWS)):
        alive = part.live.alive_at(np.array([row for _, row in some], np.int64), lsn)
        for number, (id_, _) in enumerate(some):
            if alive is None or alive[number]:
                yield id_
