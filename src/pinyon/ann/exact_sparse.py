"""Exact dot products of sparse vectors, from postings.

The products of a row are summed in float64 in ascending order of terms, whichever postings the row is in: so equal rows
get equal sums, and ties break by id. A product of two float32 is exact in float64, and never 0 unless a factor is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from pinyon.ann.postings import PostingList, PostingLists
from pinyon.model.ordered import is_first, is_member
from pinyon.model.record import Float64s, Int64s, Mask, SparseVector, UInt32s

Floor: TypeAlias = Callable[[Sequence[PostingList], Float64s], float]

_SORTED_HIT_COST: Final = 16
_LIST_COST: Final = 4096
"""What it takes to sort a hit, and to add a list to an array, where looking at each row of that array takes 1."""


@dataclass(frozen=True, slots=True)
class SparseQuery:
    """A sparse vector to look for: `terms`, ascending, and the weight of each, float64."""

    terms: UInt32s
    weights: Float64s


def sparse_query(vector: SparseVector) -> SparseQuery:
    """The query of a vector whose indices are unique, in any order."""
    order = np.argsort(vector.indices)
    return SparseQuery(vector.indices[order], vector.values[order].astype(np.float64))


def sparse_dots(postings: PostingLists, query: SparseQuery, floor: Floor | None = None) -> tuple[Int64s, Float64s]:
    """Dot products of the rows that share a term with the query.

    Args:
        postings: of the rows.
        query: what to multiply with.
        floor: gives a number once the dot products are known; rows below it may be left out.

    Returns:
        `(rows, dots)`, both `(m,)`; rows ascend.
    """
    lists = postings.lists(query.terms)
    hit_count = sum(len(each.rows) for each in lists)
    if not hit_count:
        return np.zeros(0, np.int64), np.zeros(0)
    if _SORTED_HIT_COST * hit_count < postings.row_count + _LIST_COST * len(lists):
        return _dots_of_few(lists, query.weights)
    dots = np.zeros(postings.row_count)
    for (rows, values), weight in zip(lists, query.weights, strict=True):
        dots[rows.astype(np.intp, copy=False)] += values * weight
    least = 0.0 if floor is None else floor(lists, dots)
    if least > 0:
        rows = np.flatnonzero(dots >= least)
    elif postings.is_positive and query.weights.min() > 0:
        rows = np.flatnonzero(dots > 0)
    else:  # A sum of nothing and a sum that is 0 look the same.
        rows = np.flatnonzero(_in_any(lists, postings.row_count))
    return rows, dots[rows]


def rows_with_all(postings: PostingLists, terms: UInt32s) -> Int64s:
    """The rows that have every one of `terms`, which ascend and are at least one; ascending."""
    shortest, *others = sorted((each.rows for each in postings.lists(terms)), key=len)
    rows = shortest.astype(np.int64)
    for other in others:
        if len(rows):
            rows = rows[is_member(rows, other)]
    return rows


def dots_at(rows: Int64s, hit_rows: Int64s, dots: Float64s) -> Float64s:
    """The dot product of each of `rows`: that of a hit, of which `hit_rows` ascend and have `dots`, and 0 else."""
    found = np.zeros(len(rows))
    if len(hit_rows):
        is_hit = is_member(rows, hit_rows)
        found[is_hit] = dots[np.searchsorted(hit_rows, rows[is_hit])]
    return found


def _dots_of_few(lists: Sequence[PostingList], weights: Float64s) -> tuple[Int64s, Float64s]:
    """The same, by sorting the hits: its cost does not depend on how many rows there are."""
    hits = np.concatenate([each.rows for each in lists])
    products = np.concatenate([each.values * weight for each, weight in zip(lists, weights, strict=True)])
    order = np.argsort(hits, kind="stable")  # So a row's hits stay in order of terms.
    hits = hits[order]
    firsts = is_first(hits)
    # Unlike a reduction, this adds one number after another.
    dots: Float64s = np.bincount(np.cumsum(firsts) - 1, weights=products[order])  # type: ignore[assignment]
    return hits[firsts].astype(np.int64), dots


def _in_any(lists: Sequence[PostingList], row_count: int) -> Mask:
    touched = np.zeros(row_count, np.bool_)
    for each in lists:
        touched[each.rows] = True
    return touched
