"""Operations come back from their bytes as they were, in place; bytes that are none are data loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
    decode,
    encode,
)
from pinyon.errors import DataLossError, InvalidArgumentError
from pinyon.model.record import BytesColumn, Metadata, RecordBatch, SparseColumn
from pinyon.protobuf.struct import encode_metadata
from pinyon.storage.protocol import BytesLike
from pinyon.testing.engine_model import PlainRecord, batch, plain_records

RECORDS = {
    "first": PlainRecord((1, 2.5, -3), {7: 0.5}, {"genre": "drama", "year": 2020.0}),
    "second": PlainRecord((0, 0, 1)),
    "third": PlainRecord((4, 5, 6), {2**32 - 1: 1.0, 0: 2.0}),
}


def joined(parts: Sequence[BytesLike]) -> memoryview:
    return memoryview(b"".join(parts))


def round_trip(operation: Operation) -> Operation:
    return decode(joined(encode(operation)))


@dataclass
class Columns:
    """Which columns a batch has."""

    dense: bool
    sparse: bool
    metadata: bool

    def of(self, record: PlainRecord) -> PlainRecord:
        sparse = record.sparse if self.sparse else {}
        metadata: Metadata = record.metadata if self.metadata else {}
        return PlainRecord(record.dense if self.dense else None, sparse, metadata)


ALL_COLUMNS = [Columns(dense, sparse, meta) for dense in (0, 1) for sparse in (0, 1) for meta in (0, 1)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [UpsertRecords, PatchRecords])
@pytest.mark.parametrize("columns", ALL_COLUMNS, ids=repr)
def test_records_come_back_with_the_columns_that_they_had(kind: Any, columns: Columns) -> None:
    records = {id_: columns.of(record) for id_, record in RECORDS.items()}
    found = round_trip(kind("n", batch(records)))
    assert isinstance(found, kind)
    assert isinstance(found, (UpsertRecords, PatchRecords))
    assert found.namespace == "n"
    change = found.records if isinstance(found, UpsertRecords) else found.changes
    assert plain_records(change) == records
    assert (change.dense is not None, change.sparse is not None, change.metadata is not None) == (
        columns.dense,
        columns.sparse,
        columns.metadata,
    )


@pytest.mark.parametrize(
    "operation",
    [
        DeleteRecords("n", ["a", "b" * 512, " "]),
        DeleteRecords("", []),
        DeleteNamespace("a/b", keep_declared=False),
        DeleteNamespace("__default__", keep_declared=True),
        CreateNamespace("x" * 512, None),
        CreateNamespace("n", ()),
        CreateNamespace("n", ("genre", "ä")),
    ],
    ids=repr,
)
def test_operations_without_records_come_back(operation: Operation) -> None:
    assert round_trip(operation) == operation


def test_rows_that_are_empty_in_every_column_come_back() -> None:
    no_offsets = np.zeros(3, np.int64)
    records = RecordBatch(
        ["a", "b"],
        None,
        SparseColumn(no_offsets, np.zeros(0, np.uint32), np.zeros(0, np.float32)),
        BytesColumn(memoryview(b""), no_offsets),
    )
    found = round_trip(UpsertRecords("n", records))
    assert isinstance(found, UpsertRecords)
    assert plain_records(found.records) == {"a": PlainRecord(), "b": PlainRecord()}


def test_a_batch_without_rows_comes_back() -> None:
    found = round_trip(UpsertRecords("n", RecordBatch([], np.zeros((0, 3), np.float32), None, None)))
    assert isinstance(found, UpsertRecords)
    assert found.records.ids == []
    assert found.records.dense is not None
    assert found.records.dense.shape == (0, 3)


def test_arrays_are_written_and_read_in_place() -> None:
    records = batch(RECORDS)
    assert records.dense is not None
    parts = encode(UpsertRecords("n", records))
    written = [np.frombuffer(part, np.uint8) for part in parts if isinstance(part, memoryview)]
    assert any(np.shares_memory(part, records.dense) for part in written)
    entry = joined(parts)
    found = decode(entry)
    assert isinstance(found, UpsertRecords)
    assert found.records.sparse is not None
    assert found.records.metadata is not None
    read = [
        found.records.dense,
        found.records.sparse.offsets,
        found.records.sparse.indices,
        found.records.sparse.values,
    ]
    texts = np.frombuffer(found.records.metadata.data, np.uint8)
    whole = np.frombuffer(entry, np.uint8)
    for array in (*read, found.records.metadata.offsets, texts):
        assert array is not None
        assert np.shares_memory(array, whole)
        assert array.ctypes.data % 8 == whole.ctypes.data % 8


def test_an_id_that_would_be_two_ids_is_refused() -> None:
    for operation in (DeleteRecords("n", ["a\0b"]), UpsertRecords("n", batch({"\0": PlainRecord((1,))}))):
        with pytest.raises(InvalidArgumentError, match="NUL"):
            encode(operation)


def test_numbers_of_another_type_are_a_defect() -> None:
    with pytest.raises(AssertionError):
        encode(UpsertRecords("n", RecordBatch(["a"], np.zeros((1, 2), np.float64), None, None)))


ENTRIES = [
    bytes(joined(encode(operation)))
    for operation in (
        UpsertRecords("n", batch(RECORDS)),
        DeleteRecords("n", ["a", "b"]),
        DeleteNamespace("n"),
        CreateNamespace("n", ("f",)),
    )
]


@pytest.mark.parametrize("entry", ENTRIES, ids=["upsert", "delete", "delete_namespace", "create_namespace"])
def test_an_entry_cut_anywhere_is_data_loss(entry: bytes) -> None:
    for length in range(len(entry)):
        with pytest.raises(DataLossError):
            decode(memoryview(entry)[:length])


@given(st.sampled_from(ENTRIES), st.data())
def test_damaged_bytes_are_data_loss_or_an_operation_whose_rows_fit(entry: bytes, data: st.DataObject) -> None:
    damaged = bytearray(entry)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(entry) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(memoryview(bytes(damaged)))
    except DataLossError:
        return
    if isinstance(found, UpsertRecords):
        for column in (found.records.dense, found.records.sparse, found.records.metadata):
            assert column is None or len(column) == len(found.records)
        for row in range(len(found.records)):
            assert found.records.sparse is None or len(found.records.sparse[row].indices) >= 0


@given(st.binary(max_size=200))
def test_any_bytes_are_data_loss(data: bytes) -> None:
    with pytest.raises(DataLossError):
        decode(memoryview(data))


def test_an_unknown_operation_is_named() -> None:
    entry = ENTRIES[1].replace(b"delete", b"repeat")
    with pytest.raises(DataLossError, match="unknown operation 'repeat'; a newer Pinyon wrote it"):
        decode(memoryview(entry))


def test_metadata_for_many_records_is_written_once() -> None:
    wanted = SetMetadata("n", ["a", "b"], encode_metadata({"k": "v"}))
    assert round_trip(wanted) == wanted
    assert round_trip(SetMetadata("n", ["a"], b"")) == SetMetadata("n", ["a"], b"")
