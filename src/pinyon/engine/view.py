"""A view: what one read sees of a namespace.

Taken under the index's lock, read without it. It never changes: rows written later are beyond the row counts that it
remembers, rows that died later died at an LSN that is newer than its own, and the runs and parts are those of its
moment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pinyon.engine.block import Block
from pinyon.engine.part import Part
from pinyon.engine.runs import NO_RUNS, Runs
from pinyon.model.record import Int64s, Lsn, Mask


class BlockView(NamedTuple):
    """The first `row_count` rows of a block, which are rows `first_row` and up of the memtable."""

    block: Block
    row_count: int
    first_row: int

    @property
    def end(self) -> int:
        """The row of the memtable behind the last."""
        return self.first_row + self.row_count


@dataclass(frozen=True, slots=True)
class MemtableView:
    """The blocks of a memtable at one LSN, in order of rows, and the runs beside them."""

    lsn: Lsn
    blocks: tuple[BlockView, ...]
    runs: Runs = NO_RUNS

    @property
    def end(self) -> int:
        """The row of the memtable behind the last."""
        return self.blocks[-1].end if self.blocks else 0

    @property
    def record_count(self) -> int:
        """Rows that this view sees."""
        masks = [(block.row_count, self.alive(block)) for block in self.blocks]
        return sum(row_count if alive is None else int(np.count_nonzero(alive)) for row_count, alive in masks)

    def alive(self, block: BlockView) -> Mask | None:
        """Rows of a block that this view sees, `(row_count,)`; None for all of them."""
        return block.block.alive(block.row_count, self.lsn)

    def tail(self) -> Sequence[BlockView]:
        """The blocks with rows that are in no run."""
        count = 0
        for block in reversed(self.blocks):
            if block.end <= self.runs.end:
                break
            count += 1
        return self.blocks[len(self.blocks) - count :]

    def split(self, rows: Int64s) -> Iterator[tuple[BlockView, slice]]:
        """Which of `rows`, rows of the memtable in ascending order, are in which block; those in none are left out."""
        starts = np.searchsorted(rows, [block.first_row for block in self.blocks]).tolist()
        ends = np.searchsorted(rows, [block.end for block in self.blocks]).tolist()
        for block, start, end in zip(self.blocks, starts, ends, strict=True):
            if start < end:
                yield block, slice(start, end)

    def sees(self, rows: Int64s) -> Mask:
        """Which of `rows`, rows of the memtable in ascending order, are alive in this view."""
        seen = np.zeros(len(rows), np.bool_)
        for block, mine in self.split(rows):
            alive = block.block.alive_at(rows[mine] - block.first_row, self.lsn)
            seen[mine] = True if alive is None else alive
        return seen


@dataclass(frozen=True, slots=True)
class View:
    """What is in memory and what is in segments, at one LSN. No two rows of it that are alive have the same id."""

    lsn: Lsn
    memtables: tuple[MemtableView, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def record_count(self) -> int:
        """Rows that this view sees."""
        return sum(each.record_count for each in self.memtables) + sum(
            part.alive_count(self.lsn) for part in self.parts
        )
