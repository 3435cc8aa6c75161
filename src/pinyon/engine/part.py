"""Open segments: which of their rows died, and the part of one that belongs to a namespace.

The rows of a segment never change; only they die. What must hold:

- a row is seen by a view at LSN v when its part was in the view and `dead_lsn[row] > v`, as in `pinyon.engine.block`;
- rows that were dead when the segment was opened died at LSN 0.

Thread rule: rows die under the index's lock; readers need none. `dead_lsn` is made when the first row dies, complete
before it is shown; a reader that misses it has a view from before.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinyon.ann.effort import FEW, MANY, Effort, EffortTable, effort_for_count, unmeasured_effort
from pinyon.engine.block import NEVER
from pinyon.engine.structures import Structures
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Int64s, Lsn, Mask
from pinyon.segment.segment import NamespaceRows, Segment

GRAPH: Final = "graph"
QUANTISED: Final = "quantised"
"""The structures that efforts are measured for. By its name goes what finding few rows takes."""

_REACH_KEPT_MAX: Final = 64
"""Recalls that are asked for are few, but callers may ask for any."""


def for_many(structure: str) -> str:
    """The name by which goes what finding many rows takes."""
    return f"{structure} {MANY}"


class Reach(NamedTuple):
    """Whether a structure finds what is wanted, and the effort; None where that is not known, or it does not."""

    is_reached: bool
    effort: Effort | None


class LiveSegment:
    """An open segment and the deaths of its rows.

    Attributes:
        number: names its files.
        segment: its columns.
        dead_count: rows that died so far.
        structures: what makes searches of it fast; None in a segment that is shared by small namespaces.
        has_graph: True if there is a graph over its rows, on disk.
    """

    def __init__(self, number: int, segment: Segment, definition: IndexDefinition, dead: Mask | None = None) -> None:
        """Take a segment of which the rows `dead`, `(row_count,)`, are known to have died."""
        self.number = number
        self.segment = segment
        self.structures = Structures(segment, definition) if segment.properties.get("dedicated") else None
        self._efforts: dict[str, EffortTable] = {}
        self._guess: dict[str, EffortTable] = {}
        self._reach: dict[tuple[str, float, int], Reach] = {}
        self.dead_count = 0
        self.has_graph = False
        self._dead_lsn: NDArray[np.uint64] | None = None
        if dead is not None and dead.any():
            self.mark_dead(np.flatnonzero(dead), 0)

    @property
    def row_count(self) -> int:
        """Rows, dead ones too."""
        return self.segment.row_count

    @property
    def alive_count(self) -> int:
        """Rows that are alive now."""
        return self.row_count - self.dead_count

    @property
    def memory_bytes(self) -> int:
        """Memory for the deaths of its rows."""
        return 0 if self._dead_lsn is None else self._dead_lsn.nbytes

    @property
    def efforts(self) -> dict[str, EffortTable]:
        """What a search takes for which recall, as far as measured, by structure and `for_many`; only replaced."""
        return self._efforts

    @efforts.setter
    def efforts(self, efforts: dict[str, EffortTable]) -> None:
        self._efforts = efforts
        self._reach = {}

    @property
    def guess(self) -> dict[str, EffortTable]:
        """What a search of the quantised rows takes, by another segment, while it was not measured with this one."""
        return self._guess

    @guess.setter
    def guess(self, guess: dict[str, EffortTable]) -> None:
        self._guess = guess
        self._reach = {}

    def reach(self, structure: str, target_recall: float, top_k: int = FEW) -> "Reach":
        """Whether a structure finds so much of the nearest `top_k` rows, and what that takes.

        Both as far as it was measured; else it is hoped to, and what it takes is guessed.
        """
        known = self._reach  # Of efforts that are replaced meanwhile, it goes with them.
        key = structure, target_recall, max(top_k, FEW)
        reach = known.get(key)
        if reach is None:
            efforts = self._efforts
            is_measured = structure in efforts
            effort = _effort(efforts if is_measured else self._guess, *key, self.row_count)
            reach = Reach(not is_measured or effort is not None, effort)
            if len(known) >= _REACH_KEPT_MAX:
                known.clear()
            known[key] = reach
        return reach

    def alive_counts(self) -> list[int]:
        """How many rows of each namespace are alive now, in order of `segment.namespaces`."""
        starts = np.array([rows.start for rows in self.segment.namespaces], np.int64)
        if self._dead_lsn is None:
            counts = np.diff(starts, append=self.row_count)
        else:
            counts = np.add.reduceat((self._dead_lsn == NEVER).astype(np.int64), starts)
        found: list[int] = counts.tolist()
        return found

    def mark_dead(self, rows: Int64s | slice, lsn: Lsn | NDArray[np.uint64]) -> None:
        """Hide `rows` from views at `lsn` and later; those that died before stay as they were. Under the lock."""
        dead_lsn = self._dead_lsn
        if dead_lsn is None:
            dead_lsn = np.full(self.row_count, NEVER)
        old = dead_lsn[rows]
        new = np.minimum(old, np.asarray(lsn, np.uint64))
        self.dead_count += int(np.count_nonzero((old == NEVER) & (new != NEVER)))
        dead_lsn[rows] = new
        self._dead_lsn = dead_lsn

    def alive(self, start: int, stop: int, lsn: Lsn) -> Mask | None:
        """Which of the rows from `start` to `stop` a view at `lsn` sees; None for all of them."""
        dead_lsn = self._dead_lsn
        return None if dead_lsn is None else dead_lsn[start:stop] > np.uint64(lsn)

    def alive_at(self, rows: Int64s, lsn: Lsn) -> Mask | None:
        """Which of some rows a view at `lsn` sees; None for all of them."""
        dead_lsn = self._dead_lsn
        return None if dead_lsn is None else dead_lsn[rows] > np.uint64(lsn)

    def deaths(self, rows: Int64s) -> NDArray[np.uint64]:
        """When each of some rows died, NEVER for those that are alive."""
        dead_lsn = self._dead_lsn
        return np.full(len(rows), NEVER) if dead_lsn is None else dead_lsn[rows]

    def dead_at(self, lsn: Lsn) -> Mask | None:
        """The rows that had died at or before `lsn`, `(row_count,)`; None for no row."""
        dead_lsn = self._dead_lsn
        if dead_lsn is None:
            return None
        dead: Mask = dead_lsn <= np.uint64(lsn)
        return dead if dead.any() else None


def _effort(
    tables: dict[str, EffortTable], structure: str, target_recall: float, top_k: int, row_count: int
) -> Effort | None:
    """What finding `top_k` of the rows, at least `FEW`, takes by these tables; None where that is not known."""
    tables_for = tables.get(structure), tables.get(for_many(structure))
    few, many = (None if table is None else table.effort_for(target_recall) for table in tables_for)
    if few is None or top_k == FEW:
        return few
    if tables_for[1] is None:
        return unmeasured_effort(few, top_k)
    return None if many is None else effort_for_count(few, many, top_k, row_count)


class Part(NamedTuple):
    """The rows of a segment that are one namespace's."""

    live: LiveSegment
    rows: NamespaceRows

    @property
    def row_count(self) -> int:
        """Rows, dead ones too."""
        return self.rows.stop - self.rows.start

    def alive_count(self, lsn: Lsn) -> int:
        """Rows that a view at `lsn` sees."""
        alive = self.live.alive(self.rows.start, self.rows.stop, lsn)
        return self.row_count if alive is None else int(np.count_nonzero(alive))

    @property
    def size_bytes(self) -> int:
        """Its share of the segment's bytes."""
        return self.live.segment.nbytes * self.row_count // max(self.live.row_count, 1)
