"""The codec against the official protobuf package, which writes and reads the other side of every test here."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinyon.errors import PinyonError
from pinyon.model.record import RecordBatch
from pinyon.protobuf import columns
from pinyon.protobuf.struct import (
    BOOL,
    LIST,
    NUMBER,
    decode,
    decode_metadata,
    encode_metadata,
    json_length,
    json_object,
    metadata_fields,
)
from pinyon.service.requests import Upsert
from pinyon.wire.grpc import requests, upsert
from tests.grpc_stubs import messages

pb = messages()

DIMENSION = 3
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text("aé", min_size=120, max_size=140)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float)
KEYS = TEXTS.filter(lambda key: not key.startswith("$"))
METADATA = st.dictionaries(KEYS, TEXTS | NUMBERS | st.booleans() | st.lists(TEXTS, max_size=4), max_size=5)
TREES = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | TEXTS | NUMBERS | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
    ),
)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
IDS = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=12) | st.just("i" * 200)
SPARSE = st.lists(st.tuples(st.integers(0, 2**32 - 1), FLOATS), max_size=4)


def struct_of(tree: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(tree)
    return struct


@given(TREES)
def test_a_struct_of_the_official_package_decodes_to_the_same_tree(tree):
    assert decode(struct_of(tree).SerializeToString()) == tree


@given(METADATA)
def test_metadata_makes_the_round_trip_and_the_official_package_reads_it(metadata):
    encoded = encode_metadata(metadata)
    assert decode_metadata(encoded) == metadata == decode(encoded)
    assert list(decode_metadata(encoded)) == list(metadata)
    assert MessageToDict(Struct.FromString(encoded)) == MessageToDict(struct_of(metadata))
    assert json_object(encoded) == metadata
    assert len(encoded) == 0 or json_length(encoded) <= 6 * len(encoded)


@given(st.binary(max_size=60) | TREES.map(lambda tree: struct_of(tree).SerializeToString()), st.data())
def test_damaged_structs_only_raise_our_errors_and_stay_inside_the_buffer(data, draw):
    damaged = damage(data, draw)
    for read in (decode, decode_metadata, json_length):
        with suppress(PinyonError):
            read(damaged)
    buffer = np.frombuffer(damaged, np.uint8)
    columns.scan_structs(buffer, np.array([0]), np.array([len(damaged)]))


# Columns.


def column_of(rows: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    offsets = np.cumsum([0, *map(len, rows)])
    return np.frombuffer(b"".join(rows), np.uint8), offsets[:-1], offsets[1:]


@given(st.lists(METADATA, max_size=20))
def test_a_scan_finds_every_field_of_canonical_metadata(rows):
    buffer, starts, ends = column_of([encode_metadata(row) for row in rows])
    entries = columns.scan_structs(buffer, starts, ends)
    assert not entries.irregular.size
    assert not columns.rows_with_repeated_keys(buffer, entries).size
    keys = columns.texts(buffer, entries.key_start, entries.key_end)
    found = sorted(zip(entries.row.tolist(), keys, entries.kind.tolist(), strict=True))
    assert found == sorted(
        (row, key, kind_of(value)) for row, fields in enumerate(rows) for key, value in fields.items()
    )


def kind_of(value: object) -> int:
    return {str: 3, float: NUMBER, bool: BOOL, list: LIST}[type(value)]


@given(st.lists(METADATA, max_size=20), KEYS)
def test_field_values_are_what_decoding_each_row_gives(rows, absent):
    buffer, starts, ends = column_of([encode_metadata(row) for row in rows])
    for field in {key for row in rows for key in row} | {absent}:
        expected = {number: row[field] for number, row in enumerate(rows) if field in row}
        assert values_by_row(buffer, columns.field_values(buffer, starts, ends, field)) == expected


def values_by_row(buffer: NDArray[np.uint8], values: columns.FieldValues) -> dict[int, Any]:
    found: dict[int, Any] = {row: [] for row in values.rows.tolist()}
    strings = columns.texts(buffer, values.string_starts, values.string_ends)
    for rows, column in ((values.number_rows, values.numbers.tolist()), (values.bool_rows, values.bools.tolist())):
        found |= zip(rows.tolist(), column, strict=True)
    found |= zip(values.string_rows.tolist(), strings, strict=True)
    members = columns.texts(buffer, values.member_starts, values.member_ends)
    for row, member in zip(values.member_rows.tolist(), members, strict=True):
        found[row].append(member)
    return found


@given(st.lists(st.tuples(METADATA, st.data()), min_size=1, max_size=8))
def test_a_row_that_the_scan_calls_regular_is_canonical(rows):
    damaged = [damage(encode_metadata(metadata), draw) for metadata, draw in rows]
    buffer, starts, ends = column_of(damaged)
    entries = columns.scan_structs(buffer, starts, ends)
    repeated = columns.rows_with_repeated_keys(buffer, entries) if entries.row.size else entries.row
    for row in set(range(len(rows))) - set(entries.irregular.tolist()) - set(repeated.tolist()):
        # What a scan does not look at: whether texts are UTF-8, numbers finite, and members of lists strings.
        with suppress(PinyonError):
            assert encode_metadata(decode_metadata(damaged[row])) == damaged[row]
        list(metadata_fields(damaged[row], 0, len(damaged[row])))


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_packed_varints_make_the_round_trip(values):
    packed = columns.encode_varints(np.array(values, np.uint32))
    assert packed == pb.SparseValues(indices=values).SerializeToString()[2 if len(packed) < 128 else 3 :]
    decoded, ends = columns.packed_varints(np.frombuffer(packed, np.uint8))
    assert decoded.tolist() == values
    assert ends.tolist()[-1:] == [len(packed)][: len(values)]


# Upserts.


@st.composite
def vectors(draw: st.DrawFn, *, dense: bool) -> Any:
    vector = pb.Vector(id=draw(IDS))
    if dense:
        vector.values.extend(draw(st.lists(FLOATS, min_size=DIMENSION, max_size=DIMENSION)))
    if (metadata := draw(st.none() | METADATA)) is not None:
        vector.metadata.update(metadata)
    if draw(st.booleans()):
        sparse = draw(SPARSE)
        vector.sparse_values.indices.extend(index for index, _ in sparse)
        vector.sparse_values.values.extend(value for _, value in sparse)
    return vector


def upserts(*, dense: bool = True) -> st.SearchStrategy[Any]:
    return st.builds(pb.UpsertRequest, vectors=st.lists(vectors(dense=dense), min_size=1, max_size=8), namespace=TEXTS)


@pytest.fixture(autouse=True)
def _columns_for_few_records(monkeypatch):
    monkeypatch.setattr(upsert, "_COLUMNS_FROM", 1)


def plain(request: Upsert) -> tuple[Any, ...]:
    """A request as values that compare."""
    batch = request.records
    sparse = batch.sparse and [
        column.tolist() for column in (batch.sparse.offsets, batch.sparse.indices, batch.sparse.values)
    ]
    metadata = batch.metadata and (batch.metadata.offsets.tolist(), bytes(batch.metadata.data))
    return request.namespace, batch.ids, batch.dense is None or batch.dense.tobytes(), sparse, metadata


def metadata_rows(batch: RecordBatch) -> list[dict[str, Any]]:
    return [{} if batch.metadata is None else decode_metadata(batch.metadata[row]) for row in range(len(batch))]


def test_minus_zero_in_metadata_is_zero_for_both_readers():
    vector = pb.Vector(id="a", values=[1.0] * DIMENSION)
    vector.metadata.update({"n": -0.0})
    body = pb.UpsertRequest(vectors=[vector]).SerializeToString()
    assert plain(upsert._decode_columns(body, DIMENSION)) == plain(upsert._decode_scalar(body, DIMENSION))


@pytest.mark.parametrize("dense", [True, False])
@given(data=st.data())
def test_both_readers_of_upserts_give_what_the_official_package_wrote(dense, data):
    request = data.draw(upserts(dense=dense))
    body = request.SerializeToString()
    dimension = DIMENSION if dense else None
    by_columns = upsert._decode_columns(body, dimension)
    batch = by_columns.records
    assert plain(by_columns) == plain(upsert._decode_scalar(body, dimension))
    assert by_columns.namespace == request.namespace
    assert batch.ids == [vector.id for vector in request.vectors]
    assert metadata_rows(batch) == [metadata_of(vector) for vector in request.vectors]
    if dense:
        assert batch.dense is not None
        assert batch.dense.tolist() == [list(vector.values) for vector in request.vectors]
    for row, vector in enumerate(request.vectors):
        indices = [] if batch.sparse is None else batch.sparse[row].indices.tolist()
        assert indices == list(vector.sparse_values.indices)


def metadata_of(vector: Any) -> dict[str, Any]:
    return {key: list(value) if hasattr(value, "values") else value for key, value in vector.metadata.items()}


@given(upserts(), st.data())
def test_damaged_upserts_only_raise_our_errors_and_both_readers_agree(request_, draw):
    damaged = damage(request_.SerializeToString(), draw)
    assert outcome(upsert.decode_upsert, damaged) == outcome(scalar, damaged)


def scalar(body: bytes, *, dimension: int | None) -> Upsert:
    return upsert._decode_scalar(body, dimension)


def outcome(decode_: Any, body: bytes) -> object:
    try:
        return plain(decode_(body, dimension=DIMENSION))
    except PinyonError as error:
        return error.message


@given(st.binary(max_size=60), st.data())
def test_any_bytes_as_other_requests_only_raise_our_errors(body, draw):
    request = draw.draw(
        st.sampled_from([value for value in vars(requests).values() if isinstance(value, requests.Request)])
    )
    with suppress(PinyonError):
        request.decode(body)


def damage(data: bytes, draw: Any) -> bytes:
    """Some bytes changed, some cut off, or some doubled."""
    changed = bytearray(data)
    for position, byte in draw.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)):
        if position < len(changed):
            changed[position] = byte
    start, end = sorted(draw.draw(st.tuples(st.integers(0, 200), st.integers(0, 200))))
    how = draw.draw(st.sampled_from(["keep", "cut", "cut the end", "double"]))
    if how == "cut":
        del changed[start:end]
    elif how == "cut the end":
        del changed[end:]
    elif how == "double":
        changed[start:start] = changed[start:end]
    return bytes(changed)
