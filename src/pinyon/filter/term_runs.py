"""Runs of terms: the terms of some consecutive rows, and which of the rows each has; and the merging of runs.

All is in arrays, so that a run takes 24 bytes a term and 4 bytes a row of one. Terms are known by their digests, see
`pinyon.filter.term`: by key and check, as in `pinyon.filter.field_index`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinyon.model.batches import offsets_of
from pinyon.model.ordered import is_first
from pinyon.model.record import Int32s, Int64s, Mask
from pinyon.protobuf.columns import Words

_ROW_BITS: Final = np.uint64(32)
_ROW_MASK: Final = np.uint64(2**32 - 1)

_ROWS_MOVED: Final = 100_000
"""Rows of terms that are moved at once: what is needed to find them takes six times as much memory."""


class TermRun(NamedTuple):
    """The *t* terms of some rows, distinct, ascending by key and then by check.

    Attributes:
        keys: `(t,)`.
        checks: `(t,)`.
        fields: `(t,)`, the number of each term's field.
        counts: `(t,)`, how many rows each term has.
        rows: those of the first term, of the second and so on; ascending and distinct within a term.
    """

    keys: Words
    checks: Words
    fields: Int32s
    counts: Int32s
    rows: Int32s

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(array.nbytes for array in self)

    def where(self, chosen: Mask) -> "TermRun":
        """Those terms that are chosen, `(t,)`, with their rows."""
        rows = self.rows[np.repeat(chosen, self.counts)]
        return TermRun(self.keys[chosen], self.checks[chosen], self.fields[chosen], self.counts[chosen], rows)


_EMPTY: Final = TermRun(
    np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32)
)


def run_of(digests: Sequence[bytes], fields: Int64s, term: Int64s, row: Int64s) -> TermRun:
    """The run of some terms and rows, both in any order.

    Args:
        digests: of *d* terms, which need not be distinct.
        fields: `(d,)`, the number of each one's field.
        term: `(n,)`, places in `digests`, each at least once.
        row: `(n,)`, which row has the term; below 2**31. A row may have it more than once.
    """
    keys, checks = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).T
    order = np.lexsort((checks, keys))
    firsts = is_first(keys[order]) | is_first(checks[order])
    places = np.empty(order.size, np.uint64)
    places[order] = firsts.cumsum() - 1
    postings = places[term] << _ROW_BITS | row.astype(np.uint64)
    postings.sort()
    postings = postings[is_first(postings)]
    chosen = order[firsts]
    counts = np.bincount((postings >> _ROW_BITS).view(np.int64), minlength=chosen.size)
    return TermRun(
        keys[chosen],
        checks[chosen],
        fields[chosen].astype(np.int32),
        counts.astype(np.int32),
        (postings & _ROW_MASK).astype(np.int32),
    )


def merged(runs: list[TermRun]) -> TermRun:
    """One run of all. No two have a term with the same row, and of a term they have the rows in their order.

    `runs` is emptied, since they are many bytes.
    """
    columns: list[Sequence[NDArray[Any]]] = list(zip(_EMPTY, *runs, strict=True))
    runs.clear()
    keys, checks, fields, counts, rows = [np.concatenate(columns.pop(0)) for _ in _EMPTY]
    order = np.lexsort((checks, keys))
    rows = _taken(rows, counts, order)
    firsts = np.flatnonzero(is_first(keys[order]) | is_first(checks[order]))
    counts = np.add.reduceat(counts[order], firsts, dtype=np.int32)
    order = order[firsts]
    return TermRun(keys[order], checks[order], fields[order], counts, rows)


def _taken(rows: Int32s, counts: Int32s, order: Int64s) -> Int32s:
    """The rows of terms of which each has so many, in another order of the terms."""
    starts, counts = offsets_of(counts.astype(np.int64))[order], counts[order]
    cuts = np.searchsorted(counts.cumsum(), np.arange(_ROWS_MOVED, rows.size, _ROWS_MOVED)).tolist()
    taken = np.empty_like(rows)
    done = 0
    for first, last in pairwise([0, *cuts, order.size]):
        some = counts[first:last]
        places = np.repeat(starts[first:last] - (some.cumsum() - some), some) + np.arange(some.sum())
        taken[done : done + places.size] = rows[places]
        done += places.size
    return taken
