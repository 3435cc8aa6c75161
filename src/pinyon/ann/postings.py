"""Postings: for each term, the rows that have it and their values there. A term is an index of a sparse vector.

There are two ways to get at them: `Postings` has them ready, and `ScannedRows` looks for them in the rows themselves,
which is right at once for rows that were just written. What must hold of either:

- a row has a term at most once;
- the rows of a term ascend;
- terms are asked for in ascending order, each once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np

from pinyon.model.ordered import is_first
from pinyon.model.record import Float32s, Int32s, Int64s, SparseColumn, UInt32s

_TERMS_COMPARED_MAX: Final = 24
"""How many terms are looked for one by one: a comparison with each value takes a tenth of a nanosecond, a search among
all terms some twenty."""


class PostingList(NamedTuple):
    """The rows that have one term, ascending, and their values there."""

    rows: Int32s | Int64s
    values: Float32s


class PostingLists(Protocol):
    """The postings of rows 0 to `row_count - 1`. Any thread may read them."""

    @property
    def row_count(self) -> int:
        """How many rows there are, those without a term too."""
        ...

    @property
    def is_positive(self) -> bool:
        """True if every value is known to be greater than 0."""
        ...

    def lists(self, terms: UInt32s) -> Sequence[PostingList]:
        """One list for each of `terms`, which ascend; empty for a term that no row has."""
        ...


@dataclass(frozen=True, slots=True)
class Postings:
    """Postings in order of terms: those of `terms[i]` are `starts[i]:starts[i + 1]` of `rows` and `values`.

    Eight bytes a posting. Rows are int32, because half the bytes are worth more than the conversion at a query.
    """

    row_count: int
    is_positive: bool
    terms: UInt32s
    starts: Int64s
    rows: Int32s
    values: Float32s

    def __len__(self) -> int:
        return len(self.rows)

    def lists(self, terms: UInt32s) -> list[PostingList]:
        """One list for each of `terms`: views of the arrays."""
        # A term that is not there begins where it ends.
        starts = self.starts[np.searchsorted(self.terms, terms)].tolist()
        ends = self.starts[np.searchsorted(self.terms, terms, side="right")].tolist()
        return [
            PostingList(self.rows[start:end], self.values[start:end]) for start, end in zip(starts, ends, strict=True)
        ]


def postings_of(rows: SparseColumn) -> Postings:
    """Sort the values of rows by term: 30 ns and, while it works, 30 bytes for each.

    Terms and places are sorted together as single numbers, which takes a seventh of an indirect sort.
    """
    start, end = int(rows.offsets[0]), int(rows.offsets[-1])
    assert end - start < 2**32, "a place takes 32 bits of a key"
    keys = rows.indices[start:end].astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(end - start, dtype=np.uint64)
    keys.sort()
    places = (keys & np.uint64(2**32 - 1)).view(np.int64)
    keys >>= np.uint64(32)
    terms = keys.astype(np.uint32)
    firsts = np.flatnonzero(is_first(terms))
    values = rows.values[start:end][places]
    return Postings(
        row_count=len(rows),
        is_positive=bool((values > 0).all()),
        terms=terms[firsts],
        starts=np.append(firsts, end - start),
        rows=np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(rows.offsets))[places],
        values=values,
    )


class ScannedRows:
    """Rows read as postings: a request for terms looks at every value that is stored."""

    is_positive = False  # To know better, one would have to look.

    def __init__(self, column: SparseColumn) -> None:
        """Read `column`, which must not change."""
        self._column = column

    @property
    def row_count(self) -> int:
        """Rows of the column."""
        return len(self._column)

    def lists(self, terms: UInt32s) -> list[PostingList]:
        """One list for each of `terms`, copied."""
        offsets = self._column.offsets
        start, end = int(offsets[0]), int(offsets[-1])
        places, ends = _find(self._column.indices[start:end], terms)
        places += start
        rows = np.searchsorted(offsets, places, side="right") - 1
        values = self._column.values[places]
        return [PostingList(rows[first:end], values[first:end]) for first, end in pairwise([0, *ends])]


def _find(stored: UInt32s, terms: UInt32s) -> tuple[Int64s, list[int]]:
    """Where in `stored` each of `terms` stands, term by term and ascending, and where the places of each term end."""
    if len(terms) <= _TERMS_COMPARED_MAX:
        found = [(stored == term).nonzero()[0] for term in terms]
        return np.concatenate([*found, np.zeros(0, np.int64)]), list(accumulate(map(len, found)))
    numbers = np.minimum(np.searchsorted(terms, stored), len(terms) - 1)
    places = np.flatnonzero(terms[numbers] == stored)
    # Of 16 bits, so that they are sorted by counting; an index has no vectors of as many terms.
    numbers = numbers[places].astype(np.uint16 if len(terms) < 2**16 else np.int64)
    ends: list[int] = np.cumsum(np.bincount(numbers, minlength=len(terms))).tolist()
    return places[np.argsort(numbers, kind="stable")], ends
