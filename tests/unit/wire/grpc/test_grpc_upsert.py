"""Upserts as clients write them, and as only protobuf's rules allow them. Most tests run both readers."""

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf.struct import decode_metadata, encode_metadata
from pinyon.protobuf.wire_format import encode_varint
from pinyon.service.requests import Upsert
from pinyon.wire.grpc import upsert
from pinyon.wire.grpc.upsert import decode_upsert
from tests.grpc_stubs import messages

pb = messages()


def decode_scalar(body: bytes, *, dimension: int | None) -> Upsert:
    return upsert._decode_scalar(body, dimension)


@pytest.fixture(params=["as the server does", "scalar"])
def decode(request, monkeypatch):
    monkeypatch.setattr(upsert, "_COLUMNS_FROM", 1)
    return decode_upsert if request.param == "as the server does" else decode_scalar


@pytest.fixture
def never_scalar(monkeypatch):
    """For requests that the reading by columns must be able to read."""
    monkeypatch.setattr(upsert, "_COLUMNS_FROM", 1)
    monkeypatch.delattr(upsert, "_decode_scalar")


def vector(id_: str = "a", values: Any = (1.0, 2.0), metadata: Any = None, sparse: Any = None) -> Any:
    made = pb.Vector(id=id_, values=values)
    if metadata is not None:
        made.metadata.update(metadata)
    if sparse is not None:
        made.sparse_values.CopyFrom(pb.SparseValues(indices=list(sparse), values=list(sparse.values())))
    return made


def body_of(*vectors: Any, namespace: str = "") -> bytes:
    body: bytes = pb.UpsertRequest(vectors=vectors, namespace=namespace).SerializeToString()
    return body


def part(number: int, content: bytes) -> bytes:
    """A length-delimited field by hand."""
    return bytes([number << 3 | 2]) + encode_varint(len(content)) + content


ID, VALUES = part(1, b"a"), part(2, struct.pack("<2f", 1.0, 2.0))


def test_records_become_columns(never_scalar):
    body = body_of(
        vector("first", (1.0, 2.0), {"genre": "drama", "year": 2020}, {7: 0.5, 2**32 - 1: -1.5}),
        vector("2", (3.0, 4.0)),
        vector("x" * 300, (5.0, 6.0), {"é": ["a", "b"], "text": "long" * 100, "ok": True}, {0: 1.0}),
        namespace="ns",
    )
    request = decode_upsert(body, dimension=2)
    records = request.records
    assert request.namespace == "ns"
    assert records.ids == ["first", "2", "x" * 300]
    assert records.dense is not None
    assert records.dense.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert records.dense.dtype == np.float32
    assert records.dense.flags.c_contiguous
    assert records.metadata is not None
    assert decode_metadata(records.metadata[0]) == {"genre": "drama", "year": 2020.0}
    assert records.metadata[1] == b""
    assert decode_metadata(records.metadata[2]) == {"é": ["a", "b"], "text": "long" * 100, "ok": True}
    assert records.sparse is not None
    assert [records.sparse[row].indices.tolist() for row in range(3)] == [[7, 2**32 - 1], [], [0]]
    assert [records.sparse[row].values.tolist() for row in range(3)] == [[0.5, -1.5], [], [1.0]]


def test_the_result_does_not_refer_to_the_body(never_scalar):
    body = bytearray(body_of(vector(metadata={"a": "b"}, sparse={1: 1.0})))
    records = decode_upsert(memoryview(body), dimension=2).records
    body[:] = bytes(len(body))
    assert records.dense is not None
    assert records.dense.tolist() == [[1.0, 2.0]]
    assert records.metadata is not None
    assert decode_metadata(records.metadata[0]) == {"a": "b"}


def test_a_sparse_index_has_no_matrix(never_scalar):
    records = decode_upsert(body_of(vector(values=(), sparse={1: 0.5})), dimension=None).records
    assert records.dense is None
    assert records.sparse is not None
    assert records.sparse[0].indices.tolist() == [1]


def test_columns_that_no_record_has_are_none(decode):
    records = decode(body_of(vector(), vector("b", metadata={}, sparse={})), dimension=2).records
    assert records.metadata is None
    assert records.sparse is None


@pytest.mark.parametrize("count", [0, 1, 9, 10, 40])
def test_any_number_of_records_is_read(count):
    made = [vector(str(number), (number, 1.0), {"n": number}) for number in range(count)]
    records = decode_upsert(body_of(*made), dimension=2).records
    assert records.ids == [str(number) for number in range(count)]
    assert records.dense is not None
    assert records.dense.shape == (count, 2)


def test_a_request_without_records_is_read(decode):
    request = decode(part(2, b"ns") * 20, dimension=2)
    assert (request.namespace, request.records.ids) == ("ns", [])
    assert request.records.dense is not None
    assert request.records.dense.shape == (0, 2)


@pytest.mark.parametrize("dimension", [31, 32, 4096, 20_000])
def test_any_dimension_is_read(never_scalar, dimension):
    rows = np.random.default_rng(0).standard_normal((3, dimension)).astype(np.float32)
    request = decode_upsert(body_of(*(vector(values=row) for row in rows)), dimension=dimension)
    assert request.records.dense is not None
    assert (request.records.dense == rows).all()


def test_the_namespace_may_stand_anywhere_and_the_last_one_counts(never_scalar):
    record = part(1, vector().SerializeToString())
    request = decode_upsert(part(2, b"x") + record + part(2, b"y") + record + part(2, b"z"), dimension=2)
    assert (request.namespace, request.records.ids) == ("z", ["a", "a"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(VALUES + ID, id="other order"),
        pytest.param(ID + b"\x15\x00\x00\x80\x3f\x15\x00\x00\x00\x40", id="values not packed"),
        pytest.param(ID + VALUES[:1] + b"\x88\x00" + VALUES[2:], id="length with a padded varint"),
        pytest.param(ID + part(2, VALUES[2:6]) + part(2, VALUES[6:]), id="values in two parts"),
        pytest.param(part(1, b"b") + ID + VALUES, id="two ids"),
        pytest.param(ID + VALUES + part(9, b"later"), id="unknown field"),
        pytest.param(part(9, b"later") + ID + VALUES, id="unknown field first"),
    ],
)
def test_what_protobuf_allows_is_read(content):
    regular = part(1, vector("a").SerializeToString())
    records = decode_upsert(regular * 20 + part(1, content) + regular, dimension=2).records
    assert records.ids == ["a"] * 22
    assert records.dense is not None
    assert (records.dense == [1.0, 2.0]).all()


METADATA_PARTS: list[dict[str, Any]] = [{"a": 1.0, "b": "x"}, {"a": 2.0}]


def test_metadata_in_two_parts_merges(decode):
    parts = [part(3, encode_metadata(fields)) for fields in METADATA_PARTS]
    records = decode(part(1, ID + VALUES + b"".join(parts)), dimension=2).records
    assert decode_metadata(records.metadata[0]) == {"a": 2.0, "b": "x"}


def test_metadata_that_is_not_canonical_is_written_anew(never_scalar):
    without_key = part(1, part(2, b"\x1a\x01x"))
    twice = encode_metadata({"a": 1.0}) + encode_metadata({"a": 2.0})
    content = [ID + VALUES + part(3, data) for data in (encode_metadata({"b": True}), without_key, twice)]
    records = decode_upsert(b"".join(part(1, each) for each in content), dimension=2).records
    assert records.metadata is not None
    expected = [encode_metadata(fields) for fields in ({"b": True}, {"": "x"}, {"a": 2.0})]
    assert [records.metadata[row] for row in range(3)] == expected


def test_sparse_values_that_are_not_packed_are_read(decode):
    sparse = part(4, b"\x08\xac\x02" + b"\x15\x00\x00\x80\x3f")
    records = decode(part(1, ID + VALUES + sparse), dimension=2).records
    assert (records.sparse[0].indices.tolist(), records.sparse[0].values.tolist()) == ([300], [1.0])


# Refusals.


def struct_(value: bytes, key: bytes = b"f") -> bytes:
    return part(3, part(1, part(1, key) + part(2, value)))


NESTED = part(5, part(1, part(1, b"n") + part(2, b"\x11" + struct.pack("<d", 10))))
MIXED = part(6, part(1, b"\x1a\x01x") + part(1, b"\x11" + struct.pack("<d", 1)))
WRONG_TYPE = "Metadata value must be a string, number, boolean or list of strings, got '{}' for field 'f'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ID + VALUES[:-1], "malformed"),
        (ID + part(2, bytes(4)), "Vector dimension 1 does not match the dimension of the index 2"),
        (ID, "Vector dimension 0 does not match the dimension of the index 2"),
        (part(1, "é".encode()) + VALUES, "Vector ID must be ASCII, but got 'é'"),
        (part(1, b"a\0b") + VALUES, "Vector ID must be ASCII, but got 'a\0b'"),
        (part(1, b"\xff") + VALUES, "not valid UTF-8"),
        (ID + VALUES + struct_(b"\x08\x00"), WRONG_TYPE.format("null")),
        (ID + VALUES + struct_(b""), WRONG_TYPE.format("null")),
        (ID + VALUES + struct_(NESTED), WRONG_TYPE.format('{"n":10.0}')),
        (ID + VALUES + struct_(MIXED), WRONG_TYPE.format('["x",1.0]')),
        (ID + VALUES + struct_(b"\x20\x01", b"$f"), "Metadata field '$f' cannot start with '$'"),
        (ID + VALUES + struct_(b"\x11" + struct.pack("<d", float("nan"))), "Number must be finite, got nan"),
        (ID + VALUES + struct_(b"\x1a\x01\xff"), "not valid UTF-8"),
        (ID + VALUES + struct_(b"\x20\x01", b"\xff"), "not valid UTF-8"),
        (ID + VALUES + struct_(part(6, part(1, b"\x1a\x01\xff"))), "not valid UTF-8"),
        (ID + VALUES + part(4, part(1, b"\x01\x02") + part(2, bytes(4))), "got 2 indices and 1 values"),
        (ID + VALUES + part(4, part(1, b"\x01")), "got 1 indices and 0 values"),
        (
            ID + VALUES + part(4, part(1, b"\x80\x80\x80\x80\x10") + part(2, bytes(4))),
            "at most 4294967295, got 4294967296",
        ),
        (ID + VALUES + part(4, part(1, b"\x80") + part(2, bytes(4))), "malformed"),
        (ID + VALUES + part(4, part(1, b"\x01") + part(2, bytes(3))), "malformed"),
        (b"\x08\x01" + VALUES, "field 1 has wire type 0"),
    ],
)
@pytest.mark.parametrize("others", [0, 30])
def test_a_bad_record_refuses_the_request(decode, others, content, message):
    good = part(1, ID + VALUES + struct_(b"\x20\x01") + part(4, part(1, b"\x05") + part(2, bytes(4))))
    with pytest.raises(InvalidArgumentError) as raised:
        decode(good * others + part(1, content), dimension=2)
    assert message in raised.value.message


def test_the_first_bad_record_is_named(decode):
    null, operator = ID + VALUES + struct_(b"\x08\x00"), ID + VALUES + struct_(b"\x20\x01", b"$f")
    with pytest.raises(InvalidArgumentError, match="cannot start with"):
        decode(part(1, operator) + part(1, null), dimension=2)


def test_a_sparse_index_refuses_dense_values(decode):
    with pytest.raises(InvalidArgumentError, match="Index configuration does not support dense values"):
        decode(body_of(vector(sparse={1: 1.0})), dimension=None)


def test_a_record_without_an_id_does_not_take_another_field_for_it(decode):
    assert decode(part(1, part(9, b"later") + VALUES), dimension=2).records.ids == [""]


def test_floats_may_not_go_on_in_the_next_record(decode):
    records = [ID + VALUES + part(4, part(1, b"\x01") + part(2, bytes(6))), ID + VALUES + part(4, part(2, bytes(2)))]
    with pytest.raises(InvalidArgumentError, match="end inside a number"):
        decode(b"".join(part(1, record) for record in records), dimension=2)


def test_indices_that_belong_to_another_row_are_a_mismatch(decode):
    one = part(1, ID + VALUES + part(4, part(1, b"\x01\x02") + part(2, bytes(4))))
    other = part(1, ID + VALUES + part(4, part(1, b"\x01") + part(2, bytes(8))))
    with pytest.raises(InvalidArgumentError, match="as many indices as values"):
        decode(one + other, dimension=2)


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_body_that_is_cut_is_malformed_or_shorter(decode, cut):
    body = body_of(vector(metadata={"a": "b"}, sparse={1: 1.0}), vector("b"))
    with suppress(InvalidArgumentError):
        assert len(decode(body[:-cut], dimension=2).records) < 2


@pytest.mark.parametrize("last", [0x0A, 0x12, 0x1A, 0x00])
def test_a_length_with_a_padded_varint_reads_nothing_outside_the_body(decode, last):
    # Legal, if odd: the length of the first record has a byte too many. The last byte is what a clipped read sees.
    content = ID + VALUES
    padded = b"\x0a" + bytes([len(content) | 0x80, 0x00]) + content
    body = padded + part(1, ID + VALUES) * 11 + part(2, bytes([last]))
    with suppress(InvalidArgumentError):
        assert decode(body, dimension=2).records.dense.tolist() == [[1.0, 2.0]] * 12
