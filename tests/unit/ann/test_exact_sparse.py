"""Sparse dot products are those of the two dicts."""

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann.exact_sparse import sparse_dots
from pinyon.model.batches import sparse_column
from pinyon.model.record import SparseColumn, SparseVector
from pinyon.testing.engine_model import sparse_vector

vectors = st.dictionaries(st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 1]), st.integers(-8, 8).map(lambda n: n / 4))


def column(rows: Sequence[Mapping[int, float]]) -> SparseColumn:
    empty = SparseColumn(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
    return sparse_column([sparse_vector(row) for row in rows]) or empty


def vector(entries: Mapping[int, float]) -> SparseVector:
    return sparse_vector(entries) or SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))


@given(st.lists(vectors, max_size=8), vectors)
def test_dots_and_overlaps_are_those_of_dicts(rows: list[dict[int, float]], query: dict[int, float]) -> None:
    dots, overlaps = sparse_dots(column(rows), vector(query))
    assert dots.tolist() == [sum(row[index] * query[index] for index in row.keys() & query.keys()) for row in rows]
    assert overlaps.tolist() == [bool(row.keys() & query.keys()) for row in rows]


def test_an_overlap_may_add_up_to_nothing() -> None:
    dots, overlaps = sparse_dots(column([{1: 1.0, 2: -1.0}, {3: 1.0}, {1: 0.0}]), vector({2: 1.0, 1: 1.0}))
    assert dots.tolist() == [0, 0, 0]
    assert overlaps.tolist() == [True, False, True]


def test_the_first_rows_of_a_longer_column_count_alone() -> None:
    whole = column([{1: 1.0}, {1: 2.0}, {1: 4.0}])
    first = SparseColumn(whole.offsets[:3], whole.indices, whole.values)
    dots, overlaps = sparse_dots(first, vector({1: 1.0}))
    assert dots.tolist() == [1, 2]
    assert overlaps.tolist() == [True, True]


def test_numbers_beyond_float32_are_summed_in_float64() -> None:
    dots, _ = sparse_dots(column([{1: 3e38, 2: 3e38}]), vector({1: 3e38, 2: 3e38}))
    np.testing.assert_allclose(dots, [1.8e77], rtol=1e-6)
