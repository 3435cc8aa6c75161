"""Who keeps the runs of an index's memtables up to date, and how a run is built from a view."""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from math import inf

import numpy as np

from pinyon.ann.postings import postings_of
from pinyon.engine.background import RunLater
from pinyon.engine.memtable import Memtable
from pinyon.engine.runs import DEAD_SHARE, GROWTH, Run, RunOptions, Runs, Stretch, Tally, merged
from pinyon.engine.view import BlockView, MemtableView
from pinyon.model.batches import concatenate_sparse, take_sparse_rows
from pinyon.model.record import Int64s, SparseColumn


class RunKeeper:
    """Builds runs in the background, for one memtable at a time.

    `lock` is the index's: it is held while a view is taken and while new runs are published, not while they are built.
    Without `run_later` no runs are built.
    """

    def __init__(
        self,
        lock: threading.Lock,
        view_of: Callable[[Memtable], MemtableView],
        *,
        run_later: RunLater | None,
        options: RunOptions,
    ) -> None:
        """Build for whom `due` found; `view_of` gives the view of now, under the lock."""
        self._lock = lock
        self._view_of = view_of
        self._run_later = run_later
        self._options = options
        self._is_closed = False

    def due(self, memtables: Iterable[Memtable]) -> list[Memtable]:
        """Those of `memtables` for which to call `start`. Called under the lock, after they were written to."""
        if self._run_later is None or self._is_closed:
            return []
        found = []
        for memtable in memtables:
            if not memtable.is_building_runs and memtable.runs.are_due(memtable.tally, self._options):
                memtable.is_building_runs = True
                found.append(memtable)
        return found

    def start(self, memtables: Iterable[Memtable]) -> None:
        """Build the runs of memtables that were due. Called without the lock."""
        for memtable in memtables:
            assert self._run_later is not None, "without it, none is due"
            self._run_later(partial(self._build, memtable))

    def close(self) -> None:
        """Build no more; what is being built is not published."""
        self._is_closed = True

    def _build(self, memtable: Memtable) -> None:
        try:
            self._replace_runs(memtable)
        finally:
            with self._lock:
                memtable.is_building_runs = False
        with self._lock:
            due = self.due([memtable])
        # At the end of the queue: a memtable that is always written to leaves time for the others.
        self.start(due)

    def _replace_runs(self, memtable: Memtable) -> None:
        with self._lock:
            view, tally = self._view_of(memtable), memtable.tally
        runs: list[Run] = []
        for piece in planned(view, tally, self._options):
            if self._is_closed:
                return
            run = piece if isinstance(piece, Run) else built(view, piece)
            runs += [] if run is None else [run]
        if not view.runs.have_dead_rows(tally, self._options):  # Then nobody looked for them.
            tally = tally._replace(rows_died=view.runs.tally.rows_died)
        with self._lock:
            # Where the namespace was deleted or flushed meanwhile, reads do not reach this memtable any more.
            memtable.runs = Runs(tuple(runs), max(view.runs.end, view.end), tally)


def planned(view: MemtableView, tally: Tally, options: RunOptions) -> list[Run | Stretch]:
    """The runs that the rows of a view should be in: those that stay, and stretches that are to be built."""
    looks_for_dead = view.runs.have_dead_rows(tally, options)
    runs = [_without_dead(view, run) if looks_for_dead else run for run in view.runs.runs]
    growth = inf if view.runs.are_paid_for(tally, options) else GROWTH
    return merged([*runs, *_tail(view, options.run_values_max)], options.run_values_max, growth)


def built(view: MemtableView, stretch: Stretch) -> Run | None:
    """The run of the rows of a stretch that have sparse values and that the view sees; None if there are none."""
    numbers: list[Int64s] = []
    columns: list[SparseColumn] = []
    for block in view.blocks:
        start, end = max(stretch.start, block.first_row), min(stretch.end, block.end)
        if start < end:
            rows, column = _living_rows(view, block, start - block.first_row, end - block.first_row)
            numbers.append(rows + start)
            columns.append(column)
    if not sum(map(len, numbers)):
        return None
    return Run(np.concatenate(numbers), postings_of(concatenate_sparse(columns)))


def _living_rows(view: MemtableView, block: BlockView, start: int, end: int) -> tuple[Int64s, SparseColumn]:
    """Which rows from `start` to `end` of a block have sparse values and are alive, and these values."""
    column = block.block.sparse_rows(start, end)
    kept = column.offsets[1:] > column.offsets[:-1]
    alive = view.alive(block)
    if alive is not None:
        kept &= alive[start:end]
    rows = np.flatnonzero(kept)
    return rows, column if len(rows) == end - start else take_sparse_rows(column, rows)


def _without_dead(view: MemtableView, run: Run) -> Run | Stretch:
    """The run as it is, or what is to be built in its place because many of its rows are dead."""
    stretch, row_count = run.stretch, len(run.row_numbers)
    alive_count = int(np.count_nonzero(view.sees(run.row_numbers)))
    if DEAD_SHARE * (row_count - alive_count) < row_count:
        return run
    return Stretch(stretch.start, stretch.end, stretch.value_count * alive_count // row_count)


def _tail(view: MemtableView, values_max: int) -> list[Stretch]:
    """The rows behind the runs, cut between blocks into stretches of at most so many values where that is possible."""
    stretches: list[Stretch] = []
    for block in view.tail():
        start = max(view.runs.end, block.first_row)
        offsets = block.block.sparse_offsets.data
        count = int(offsets[block.row_count] - offsets[start - block.first_row])
        if stretches and stretches[-1].value_count + count <= values_max:
            last = stretches.pop()
            start, count = last.start, last.value_count + count
        stretches.append(Stretch(start, block.end, count))
    return stretches
