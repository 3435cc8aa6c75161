"""Postings say of each term which rows have it, whether they were sorted before or are scanned."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann import postings
from pinyon.ann.postings import PostingLists, ScannedRows, postings_of
from pinyon.model.batches import sparse_column
from pinyon.model.record import SparseColumn, UInt32s
from pinyon.testing.engine_model import sparse_vector

TERMS = [0, 1, 2, 3, 2**31, 2**32 - 1]
rows_of_terms = st.dictionaries(st.sampled_from(TERMS), st.integers(-8, 8).map(lambda number: number / 4))


def column(rows: Sequence[Mapping[int, float]]) -> SparseColumn:
    empty = SparseColumn(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
    return sparse_column([sparse_vector(row) for row in rows]) or empty


def terms(numbers: Sequence[int]) -> UInt32s:
    return np.array(numbers, np.uint32)


def as_dicts(found: PostingLists, wanted: Sequence[int]) -> list[dict[int, float]]:
    lists = found.lists(terms(wanted))
    assert len(lists) == len(wanted)
    assert all((np.diff(each.rows) > 0).all() for each in lists)
    return [dict(zip(each.rows.tolist(), each.values.tolist(), strict=True)) for each in lists]


@pytest.mark.parametrize("make", [postings_of, ScannedRows])
@pytest.mark.parametrize("compared_max", [0, 24])
@given(rows=st.lists(rows_of_terms, max_size=8), wanted=st.lists(st.sampled_from([*TERMS, 7]), unique=True))
def test_lists_name_the_rows_of_each_term(make, compared_max: int, rows: list[dict[int, float]], wanted: list[int]):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_TERMS_COMPARED_MAX", compared_max)
        found = make(column(rows))
        assert found.row_count == len(rows)
        assert as_dicts(found, sorted(wanted)) == [
            {number: row[term] for number, row in enumerate(rows) if term in row} for term in sorted(wanted)
        ]


@pytest.mark.parametrize("make", [postings_of, ScannedRows])
def test_a_part_of_a_column_is_numbered_from_0(make):
    whole = column([{1: 1.0}, {1: 2.0, 5: 3.0}, {}, {5: 4.0}, {1: 5.0}])
    part = SparseColumn(whole.offsets[1:5], whole.indices, whole.values)
    assert as_dicts(make(part), [1, 5]) == [{0: 2.0}, {0: 3.0, 2: 4.0}]


def test_postings_take_eight_bytes_each():
    made = postings_of(column([{1: 1.0, 2: 2.0}] * 10))
    assert len(made) == 20
    assert made.rows.nbytes + made.values.nbytes == 20 * 8


def test_postings_know_whether_all_values_are_positive():
    assert postings_of(column([{1: 1.0}, {2: 1e-45}])).is_positive
    assert not postings_of(column([{1: 1.0}, {2: 0.0}])).is_positive
    assert not postings_of(column([{1: 1.0}, {2: -1.0}])).is_positive


def test_postings_of_nothing_have_no_terms():
    made = postings_of(column([{}, {}]))
    assert made.row_count == 2
    assert len(made) == len(made.terms) == 0
    assert as_dicts(made, [0, 2**32 - 1]) == [{}, {}]
