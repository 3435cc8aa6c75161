"""Sparse vectors in a view: its runs, and scans of its tail, as one.

Rows are rows of the memtable, ascending.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from pinyon.ann import exact, exact_sparse
from pinyon.ann.postings import PostingList, ScannedRows
from pinyon.engine.runs import RowPostings
from pinyon.engine.view import MemtableView
from pinyon.model.record import Float64s, Int64s, SparseVector, UInt32s


def sparse_dots(view: MemtableView, vector: SparseVector, top_k: int | None = None) -> tuple[Int64s, Float64s]:
    """Rows that share an index with a vector, and the dot product of each with it, `(m,)` both.

    Some of the rows may be dead, or be in no block of the view. With `top_k`, rows may be left out that so many living
    ones surpass.
    """
    query = exact_sparse.sparse_query(vector)
    found = [np.zeros(0, np.int64)], [np.zeros(0)]
    floor = None if top_k is None else _Floor(view, top_k)
    for number, each in enumerate(_postings(view)):
        view.runs.cost.part_count += number > 0
        floor_of = None if floor is None else partial(floor.of, each.row_numbers)
        rows, dots = exact_sparse.sparse_dots(each.postings, query, floor_of)
        found[0].append(each.row_numbers[rows])
        found[1].append(dots)
    return np.concatenate(found[0]), np.concatenate(found[1])


def rows_with_all(view: MemtableView, indices: UInt32s) -> Int64s:
    """The rows whose sparse vector has every one of `indices`, at least one; dead ones too."""
    return rows_with_all_in(_postings(view), indices)


def rows_with_all_in(postings: Iterable[RowPostings], indices: UInt32s) -> Int64s:
    """The same of the rows of some postings, those of one after those of another."""
    terms = np.unique(indices)
    found = [each.row_numbers[exact_sparse.rows_with_all(each.postings, terms)] for each in postings]
    return np.concatenate([np.zeros(0, np.int64), *found])


def frequencies(view: MemtableView, terms: UInt32s) -> Int64s:
    """How many living rows have each of `terms`, which ascend, each once."""
    counts = np.zeros(len(terms), np.int64)
    for each in _postings(view):
        alive = view.sees(each.row_numbers)
        lists = each.postings.lists(terms)
        counts += np.array([np.count_nonzero(alive[rows]) for rows, _ in lists], np.int64)
    return counts


def _postings(view: MemtableView) -> Iterator[RowPostings]:
    yield from view.runs.runs
    for block in view.tail():
        start = max(view.runs.end, block.first_row)
        column = block.block.sparse_rows(start - block.first_row, block.row_count)
        if column.offsets[0] < column.offsets[-1]:
            yield RowPostings(np.arange(start, block.end), ScannedRows(column))


class _Floor:
    """A score that `top_k` living rows of a view reach, so that no row below it is a result; 0 while none is known.

    It is looked for in the first postings with enough hits, in the shortest of its lists that has so many living rows:
    terms that few rows have tend to weigh most.
    """

    def __init__(self, view: MemtableView, top_k: int) -> None:
        self._view = view
        self._top_k = top_k
        self._least = 0.0

    def of(self, row_numbers: Int64s, lists: Sequence[PostingList], dots: Float64s) -> float:
        """The score, once some of the view's dot products are known: those of the rows `row_numbers`."""
        long_enough = () if self._least else (each.rows for each in lists if len(each.rows) >= self._top_k)
        for rows in sorted(long_enough, key=len):
            living = dots[rows[self._view.sees(row_numbers[rows])]]
            if len(living) >= self._top_k:
                self._least = self._reached(living)
                break
        return self._least

    def _reached(self, dots: Float64s) -> float:
        """The score of the last of the best; a little less, because scores are compared as the float32 next to them."""
        place = len(dots) - self._top_k
        reached = exact.to_float32(np.partition(dots, place)[place])
        return max(0.0, float(np.nextafter(reached, np.float32(-np.inf))))
