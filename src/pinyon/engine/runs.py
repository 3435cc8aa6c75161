"""Runs: postings of the sparse values of a namespace, built beside its memtable so that a query need not scan them.

A run holds the rows of a stretch of the memtable that had sparse values and were alive when it was built, and never
changes. Runs follow one another in order of rows; the rows behind the last, the tail, are scanned. New rows become a
run together with the runs before them that are not much larger, so there are few runs, each row is built anew only
a few times, and dead rows are dropped on the way. What must hold:

- Runs are built from a view, and published as runs of the memtable that the view shows. A view taken after that sees no
  row before the tail that the runs leave out: such a row was written before the older view was taken, and had it been
  dead then, it would be dead still.
- Runs may hold rows that died since, also in blocks that were given back. Who reads them asks the view.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from pinyon.ann.postings import PostingLists, Postings
from pinyon.model.record import Int64s

_TAIL_SHARE: Final = 64
"""The tail may hold one in so many of the values in runs: scanning it then takes less time than reading the runs."""

GROWTH: Final = 3
"""A run is built anew together with newer ones once it is at most so many times as large."""

DEAD_SHARE: Final = 4
"""A run in which one row in so many is dead is built anew; whether there is one is looked at when so many died."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """When runs are built.

    Attributes:
        tail_values_min: sparse values in the tail before it becomes a run, at least 1; a scan of so many takes 50 µs.
        run_values_max: values in a run, but for a single block with more. Bounds the memory that building takes, at
            30 bytes a value, and how long it takes, at 30 to 40 ns a value.
        dead_rows_min: rows, at least 1, that must have died before runs are built anew to get rid of them.
        values_per_part: how many values can be built in the time that a search takes for another run or a tail, which
            is some 50 µs. When searches have lost as much time as joining all runs takes, they are joined. 0: never.
    """

    tail_values_min: int = 16_384
    run_values_max: int = 4_194_304
    dead_rows_min: int = 4096
    values_per_part: int = 1500


RUN_OPTIONS: Final = RunOptions()


class Tally(NamedTuple):
    """What a memtable has done so far; either number only grows."""

    sparse_values_written: int = 0
    rows_died: int = 0


_NOTHING: Final = Tally()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of a memtable from `start` to `end`, and about how many sparse values they have."""

    start: int
    end: int
    value_count: int

    @property
    def stretch(self) -> "Stretch":
        """Itself, as a run has one."""
        return self


@dataclass(frozen=True, slots=True)
class RowPostings:
    """Postings of some rows of a memtable: row i of `postings` is `row_numbers[i]` there; those ascend."""

    row_numbers: Int64s
    postings: PostingLists


@dataclass(frozen=True, slots=True)
class Run(RowPostings):
    """Postings that are ready, of at least one row."""

    postings: Postings

    @property
    def stretch(self) -> Stretch:
        """The rows of the memtable from the run's first to its last."""
        return Stretch(int(self.row_numbers[0]), int(self.row_numbers[-1]) + 1, len(self.postings))


class Cost:
    """What searches paid for there being several parts to look at. Counts that two threads make at once may be lost."""

    __slots__ = ("part_count",)

    def __init__(self) -> None:
        """Start at 0."""
        self.part_count = 0


@dataclass(frozen=True)
class Runs:
    """The runs of a namespace.

    Attributes:
        runs: in order of rows.
        end: the row at which the tail begins.
        tally: the memtable's, when the newest run was built, and when dead rows were last looked for.
        cost: of searches over these runs and their tail: parts that they looked at beyond one.
    """

    runs: tuple[Run, ...] = ()
    end: int = 0
    tally: Tally = _NOTHING
    cost: Cost = field(default_factory=Cost)

    def are_due(self, tally: Tally, options: RunOptions) -> bool:
        """True if there is a reason to build runs; `tally` is the memtable's now."""
        return (
            self._is_tail_long(tally, options)
            or self.have_dead_rows(tally, options)
            or self.are_paid_for(tally, options)
        )

    def have_dead_rows(self, tally: Tally, options: RunOptions) -> bool:
        """True if so many rows died that it is time to look for them in the runs."""
        dead_count = tally.rows_died - self.tally.rows_died
        return bool(self.runs) and dead_count >= max(options.dead_rows_min, self._row_count // DEAD_SHARE)

    def are_paid_for(self, tally: Tally, options: RunOptions) -> bool:
        """True if searches have lost as much time by looking at several parts as it takes to make one of these."""
        paid = self.cost.part_count * options.values_per_part
        small = [len(run.postings) for run in self.runs if 2 * len(run.postings) <= options.run_values_max]
        has_tail = tally.sparse_values_written > self.tally.sparse_values_written
        return len(small) + has_tail > 1 and paid >= sum(small)

    def _is_tail_long(self, tally: Tally, options: RunOptions) -> bool:
        tail_count = tally.sparse_values_written - self.tally.sparse_values_written
        return tail_count >= max(options.tail_values_min, self._value_count // _TAIL_SHARE)

    @cached_property
    def _row_count(self) -> int:
        return sum(len(run.row_numbers) for run in self.runs)

    @cached_property
    def _value_count(self) -> int:
        return sum(len(run.postings) for run in self.runs)


NO_RUNS: Final = Runs()


def merged(pieces: Iterable[Run | Stretch], values_max: int, growth: float) -> list[Run | Stretch]:
    """What to build of pieces in order of rows: those that stay alone as they are, the others as longer stretches.

    Neighbours are built as one where the older has at most `growth` times the values of the newer, and both together
    at most `values_max`.
    """
    result: list[Run | Stretch] = []
    for piece in pieces:
        result.append(piece)
        while len(result) > 1:
            older, newer = result[-2].stretch, result[-1].stretch
            value_count = older.value_count + newer.value_count
            if older.value_count > growth * newer.value_count or value_count > values_max:
                break
            result[-2:] = [Stretch(older.start, newer.end, value_count)]
    return result
