"""Batches are made of records and of other batches without loss."""

import numpy as np
import pytest

from pinyon.model.batches import (
    batch_of_records,
    bytes_column,
    concatenate_sparse,
    offsets_of,
    sparse_column,
    take_rows,
    take_sparse_rows,
)
from pinyon.model.record import Record, SparseColumn, SparseVector
from pinyon.testing.engine_model import PlainRecord, batch, plain_record, plain_records

RECORDS = {
    "a": PlainRecord((1, 2), {7: 0.5, 3: -1.0}, {"genre": "drama"}),
    "b": PlainRecord((3, 4)),
    "c": PlainRecord((0, -1), {2**32 - 1: 2.0}, {"year": 2020.0}),
}


def records() -> list[Record]:
    """The records of a batch, one by one."""
    whole = batch(RECORDS)
    assert whole.dense is not None
    assert whole.sparse is not None
    assert whole.metadata is not None
    parts = zip(whole.ids, whole.dense, range(3), strict=True)
    return [
        Record(id_, dense, whole.sparse[row] if len(whole.sparse[row].indices) else None, whole.metadata[row])
        for id_, dense, row in parts
    ]


def test_records_make_a_batch() -> None:
    made = batch_of_records(records())
    assert plain_records(made) == RECORDS == {record.id: plain_record(record) for record in records()}
    assert made.dense is not None
    assert made.dense.dtype == np.float32
    assert made.dense.flags.c_contiguous


def test_columns_that_no_record_has_are_absent() -> None:
    made = batch_of_records([Record("a", None, None, b""), Record("b", None, None, b"")])
    assert (made.dense, made.sparse, made.metadata) == (None, None, None)


def test_records_with_and_without_dense_vectors_make_no_batch() -> None:
    with pytest.raises(AssertionError):
        batch_of_records([Record("a", np.ones(2, np.float32), None, b""), Record("b", None, None, b"")])


@pytest.mark.parametrize("rows", [[], [0], [1], [2, 0], [0, 1, 2], [1, 1]])
def test_rows_are_taken_in_the_order_asked_for(rows: list[int]) -> None:
    taken = take_rows(batch(RECORDS), np.array(rows, np.int64))
    assert taken.ids == [list(RECORDS)[row] for row in rows]
    assert plain_records(taken) == {list(RECORDS)[row]: list(RECORDS.values())[row] for row in rows}


def test_columns_of_nothing_are_absent() -> None:
    assert bytes_column([]) is None
    assert bytes_column([b"", b""]) is None
    assert sparse_column([]) is None
    assert sparse_column([None, None]) is None


def test_rows_of_columns_come_back() -> None:
    texts = bytes_column([b"", b"ab", b"", b"c"])
    assert texts is not None
    assert [texts[row] for row in range(len(texts))] == [b"", b"ab", b"", b"c"]
    vector = SparseVector(np.array([5, 1], np.uint32), np.array([1, 2], np.float32))
    vectors = sparse_column([None, vector, None])
    assert vectors is not None
    assert [vectors[row].indices.tolist() for row in range(len(vectors))] == [[], [5, 1], []]


def test_sparse_columns_are_joined_and_taken_apart() -> None:
    column = batch(RECORDS).sparse
    assert column is not None
    part = SparseColumn(column.offsets[1:], column.indices, column.values)
    joined = concatenate_sparse([part, take_sparse_rows(column, np.array([2, 0])), column])
    vectors = [dict(zip(joined[row].indices.tolist(), joined[row].values.tolist(), strict=True)) for row in range(7)]
    a, b, c = (record.sparse for record in RECORDS.values())
    assert vectors == [b, c, c, a, a, b, c]


def test_offsets() -> None:
    assert offsets_of([]).tolist() == [0]
    assert offsets_of([2, 0, 3]).tolist() == [0, 2, 2, 5]
