"""The memtable: the records of one namespace, in blocks of rows.

What must hold:

- `row_of` maps each live id to the one row that is alive now; every other row of that id is dead;
- rows are numbered in the order of writing: row r is row `r % block_rows` of block `r // block_rows`;
- a block in which most rows are dead is given back: its living rows move to the end under the LSN of the write that
  tipped it. To any view that is the same as writing them again.
- a frozen memtable is on its way into segments: its rows still die, but none is added and none moves.

Thread rule: writes and `row_of` under the index's lock, which the one who writes needs not to look into `row_of`; rows
themselves are read without it, as `pinyon.engine.block` says.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from pinyon.engine.block import Block, block_rows
from pinyon.engine.runs import NO_RUNS, Runs, Tally
from pinyon.engine.view import BlockView, MemtableView
from pinyon.model.batches import take_rows
from pinyon.model.record import Int64s, Lsn, RecordBatch

_DEAD_ROWS_MIN: Final = 256
"""With fewer dead rows a block that is not full is left alone: it would be rewritten every few writes."""

_STALE_IDS_MAX: Final = 1024
"""How many ids that are gone may always wait to be sorted out."""

_ROW_OVERHEAD_BYTES: Final = 250
_OVERHEAD_BYTES: Final = 6000
"""What the objects of a row and of a memtable take beside the bytes that they hold (measured, rounded up)."""


class Memtable:
    """Records of one namespace in memory. `dimension` None: no dense vectors.

    Attributes:
        row_of: the row that is alive, by id.
        blocks: by number, in order of rows.
        runs: postings of the sparse values, replaced as a whole.
        is_building_runs: True while newer ones are on their way.
    """

    def __init__(self, dimension: int | None) -> None:
        """Start with no records."""
        self._dimension = dimension
        self._block_rows = block_rows(dimension)
        self._next_row = 0
        self._sparse_values_written = 0
        self._rows_died = 0
        self._sorted_ids: list[str] = []
        self._unsorted_ids: list[str] = []
        self._is_frozen = False
        self.runs: Runs = NO_RUNS
        self.is_building_runs = False
        self.row_of: dict[str, int] = {}
        self.blocks: dict[int, Block] = {}

    def __len__(self) -> int:
        """Live records."""
        return len(self.row_of)

    def upsert(self, records: RecordBatch | Block, lsn: Lsn) -> None:
        """Write whole records; their ids are unique. A block, of rows that are all alive, becomes the memtable's."""
        replaced: list[int] = []
        added = records.ids
        if not self.row_of.keys().isdisjoint(added):
            replaced = [self.row_of[id_] for id_ in records.ids if id_ in self.row_of]
            added = [id_ for id_ in records.ids if id_ not in self.row_of]
        if isinstance(records, Block):
            self._take(records)
        else:
            self._append(records)
        self._add_unsorted(added)
        if replaced:
            self._mark_dead(replaced, lsn)

    def delete(self, ids: Sequence[str], lsn: Lsn) -> None:
        """Delete records; ids that do not exist are passed over."""
        rows = [row for row in (self.row_of.pop(id_, None) for id_ in ids) if row is not None]
        if rows:
            self._mark_dead(rows, lsn)

    def freeze(self) -> None:
        """Take no more rows from now on."""
        self._is_frozen = True

    def locate(self, id_: str) -> tuple[Block, int] | None:
        """The block and the row in it that hold a live record."""
        row = self.row_of.get(id_)
        if row is None:
            return None
        return self.blocks[row // self._block_rows], row % self._block_rows

    def ids_from(self, prefix: str, after: str | None) -> Iterator[str]:
        """Live ids with `prefix`, in byte order, those after `after`."""
        self._sort_ids()
        ids = self._sorted_ids
        start = bisect_left(ids, prefix) if after is None or after < prefix else bisect_right(ids, after)
        for position in range(start, len(ids)):
            if not ids[position].startswith(prefix):
                return
            if ids[position] in self.row_of:
                yield ids[position]

    def view(self, lsn: Lsn) -> MemtableView:
        """What a read at `lsn`, the newest applied one, sees: all rows written so far, in order of rows."""
        blocks = [BlockView(block, block.row_count, number * self._block_rows) for number, block in self.blocks.items()]
        return MemtableView(lsn, tuple(blocks), self.runs)

    @property
    def tally(self) -> Tally:
        """What was written and what died so far, with rows that were moved to give a block back."""
        return Tally(self._sparse_values_written, self._rows_died)

    @property
    def size_bytes(self) -> int:
        """Bytes of vectors, metadata and ids of all blocks."""
        return sum(block.size_bytes for block in self.blocks.values())

    @property
    def memory_bytes(self) -> int:
        """About what the memtable takes in memory, with all its objects."""
        return self.size_bytes + _ROW_OVERHEAD_BYTES * len(self.row_of) + _OVERHEAD_BYTES

    def _append(self, batch: RecordBatch) -> None:
        assert not self._is_frozen
        first_row, done = self._next_row, 0
        if batch.sparse is not None:
            self._sparse_values_written += int(batch.sparse.offsets[-1] - batch.sparse.offsets[0])
        while done < len(batch):
            number, at = divmod(self._next_row, self._block_rows)
            block = self.blocks.get(number) or self._new_block(number)
            count = min(len(batch) - done, self._block_rows - at)
            block.append(batch, slice(done, done + count))
            done += count
            self._next_row += count
        self.row_of.update(zip(batch.ids, range(first_row, self._next_row), strict=True))

    def _take(self, block: Block) -> None:
        """Make a block one of this memtable; the rows that the last one had room for are never given out."""
        if 2 * block.row_count < self._block_rows:  # Else there would be many small blocks.
            self._append(block.batch())
            return
        assert not self._is_frozen
        number = -(-self._next_row // self._block_rows)
        first_row = number * self._block_rows
        self.blocks[number] = block
        self._next_row = first_row + block.row_count
        self._sparse_values_written += block.sparse_indices.count
        self.row_of.update(zip(block.ids, range(first_row, self._next_row), strict=True))

    def _new_block(self, number: int) -> Block:
        # Most namespaces are small, and their blocks grow with them; those of large ones are sure to fill.
        block = Block(self._dimension, capacity=self._block_rows if len(self) >= self._block_rows else 0)
        self.blocks[number] = block
        return block

    def _mark_dead(self, rows: list[int], lsn: Lsn) -> None:
        self._rows_died += len(rows)
        numbers, in_block = np.divmod(np.array(rows, np.int64), self._block_rows)
        for number in np.unique(numbers).tolist():
            block = self.blocks[number]
            block.mark_dead(in_block[numbers == number], lsn)
            self._give_back(number, block, lsn)

    def _give_back(self, number: int, block: Block, lsn: Lsn) -> None:
        """Move the living rows out of a block in which more than half are dead, and drop it."""
        is_worthwhile = block.row_count == self._block_rows or block.dead_count >= _DEAD_ROWS_MIN
        if self._is_frozen or not is_worthwhile or 2 * block.dead_count <= block.row_count:
            return
        rows: Int64s = block.alive_rows()
        del self.blocks[number]
        # If it was the last block, the rows that it had room for are never given out.
        self._next_row = max(self._next_row, (number + 1) * self._block_rows)
        if len(rows):
            self._append(take_rows(block.batch(), rows))
            block.mark_dead(rows, lsn)
            self._rows_died += len(rows)

    def _add_unsorted(self, ids: list[str]) -> None:
        self._unsorted_ids.extend(ids)
        if len(self._unsorted_ids) > 2 * len(self.row_of) + _STALE_IDS_MAX:
            # Ids came and went, and nobody listed them.
            self._sorted_ids, self._unsorted_ids = [], list(self.row_of)

    def _sort_ids(self) -> None:
        """Bring `_sorted_ids` up to date. It may keep deleted ids for a while; readers look them up anyway."""
        if self._unsorted_ids:
            self._unsorted_ids.sort()
            # Two sorted runs: the sort below finds them and merges in linear time.
            merged = self._sorted_ids + self._unsorted_ids
            merged.sort()
            self._sorted_ids = list(dict.fromkeys(merged))
            self._unsorted_ids = []
        if len(self._sorted_ids) > 2 * len(self.row_of):
            self._sorted_ids = [id_ for id_ in self._sorted_ids if id_ in self.row_of]


def blocks_of(batches: Iterable[RecordBatch], dimension: int | None) -> list[Block]:
    """The rows of some batches, all ids unique, in blocks that a memtable takes as they are."""
    memtable = Memtable(dimension)
    for batch in batches:
        memtable._append(batch)
    return list(memtable.blocks.values())
