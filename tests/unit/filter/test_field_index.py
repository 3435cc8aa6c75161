"""Stored filter columns: their bytes are a format, and what they hold is bounded."""

import hashlib
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pinyon.errors import InvalidArgumentError
from pinyon.filter import field_index, term_runs
from pinyon.filter.field_index import COLUMN_TYPES, build, build_bytes
from pinyon.model.record import BytesColumn, Metadata
from pinyon.protobuf.struct import encode_metadata
from pinyon.testing.stored_filters import encoded_chunks, encoded_column, stored_columns

_RECORDS: list[Metadata] = [
    {"s": "a", "n": 2.0},
    {"s": ["b", "a", "b"]},
    {},
    {"n": -1.5, "s": []},
    {"n": True, "s": "a"},
    {"s": "c"},
    {"n": 2.0},
]


def _numbered(row: int) -> Metadata:
    return {"s": f"{row}"}


def _names(columns: dict[str, NDArray[Any]]) -> list[str]:
    text, offsets = columns["filter_field_names"].tobytes(), columns["filter_field_offsets"].tolist()
    return [text[start:end].decode() for start, end in pairwise(offsets)]


def _digest(term: bytes) -> tuple[int, int]:
    digest = hashlib.blake2b(term, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_columns_are_laid_out_as_told(chunk_rows: int) -> None:
    columns = build(encoded_chunks(_RECORDS, chunk_rows))
    terms = {
        b"e\1\0\0\0n": [0, 3, 4, 6],
        b"e\1\0\0\0s": [0, 1, 3, 4, 5],
        b"b\1\0\0\0n\1": [4],
        b"s\1\0\0\0sa": [0, 1, 4],
        b"s\1\0\0\0sb": [1],
        b"s\1\0\0\0sc": [5],
    }
    postings = sorted((_digest(term), rows) for term, rows in terms.items())
    assert list(columns) == list(COLUMN_TYPES)
    assert {name: column.dtype for name, column in columns.items()} == COLUMN_TYPES
    assert columns["filter_other_keys"].tolist() == []
    assert _names(columns) == ["n", "s"]
    assert columns["filter_term_keys"].tolist() == [key for (key, _), _ in postings]
    assert columns["filter_term_checks"].tolist() == [check for (_, check), _ in postings]
    assert columns["filter_term_starts"].tolist() == np.cumsum([0, *(len(rows) for _, rows in postings)]).tolist()
    assert columns["filter_term_rows"].tolist() == [row for _, rows in postings for row in rows]
    assert columns["filter_number_starts"].tolist() == [0, 3, 3]
    assert columns["filter_numbers"].tolist() == [-1.5, 2.0, 2.0]
    assert columns["filter_number_rows"].tolist() == [3, 0, 6]


def test_chunks_do_not_change_the_columns() -> None:
    whole = build(encoded_chunks(_RECORDS * 50, 1000))
    for chunk_rows in (1, 7, 64):
        parts = build(encoded_chunks(_RECORDS * 50, chunk_rows))
        assert {name: part.tolist() for name, part in parts.items()} == {n: a.tolist() for n, a in whole.items()}


def test_merging_what_was_read_so_far_does_not_change_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[Metadata] = [*_RECORDS, {"s": ["x" * 100, "b", "x" * 100]}, *map(_numbered, range(50))]
    whole = build(encoded_chunks(records * 5, 1000))
    monkeypatch.setattr(field_index, "_MERGED_BYTES_MIN", 0)
    monkeypatch.setattr(term_runs, "_ROWS_MOVED", 3)
    parts = build(encoded_chunks(records * 5, 7))
    assert {name: part.tolist() for name, part in parts.items()} == {n: a.tolist() for n, a in whole.items()}


@pytest.mark.parametrize(
    "metadata",
    [
        lambda row: {"tags": [f"{row}-{number}" for number in range(50)]},
        lambda row: {"tags": [f"{(row * 50 + number) % 3000}" for number in range(50)]},
        lambda row: {f"n{number}": float(row % 7) for number in range(50)},
    ],
    ids=["distinct", "repeated", "numbers"],
)
def test_a_build_takes_as_much_memory_as_told(metadata: Callable[[int], Metadata]) -> None:
    chunks = list(encoded_chunks([metadata(row) for row in range(6000)], 250))
    tracemalloc.start()
    columns = build(chunks)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    counts = [columns[f"filter_{name}"].size for name in ("term_keys", "term_rows", "numbers")]
    assert 0.3 * build_bytes(*counts) < peak_bytes < build_bytes(*counts) + 120 * 250 * 50 + 2 * 2**20


@pytest.mark.parametrize("records", [[], [{}], [{}, {}]])
def test_rows_without_metadata_give_empty_columns(records: list[Metadata]) -> None:
    columns = build(encoded_chunks(records, 1))
    assert columns["filter_term_starts"].tolist() == [0]
    assert columns["filter_field_offsets"].tolist() == [0]
    assert columns["filter_number_starts"].tolist() == [0]
    assert {name: column.dtype for name, column in columns.items()} == COLUMN_TYPES


def test_a_chunk_may_be_part_of_a_larger_buffer() -> None:
    column = encoded_column(_RECORDS)
    later = BytesColumn(column.data, column.offsets[3:])
    found, expected = build([later]), build([encoded_column(_RECORDS[3:])])
    assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in expected.items()}


def test_the_most_frequent_fields_are_indexed() -> None:
    records: list[Metadata] = [{"rare": 1.0, "a": 2.0}, {"b": "x", "c": True}, {"a": "x", "c": False}, {"c": []}]
    columns = build(encoded_chunks(records, 1), fields_max=2)
    assert _names(columns) == ["a", "c"]
    others = (b"e\4\0\0\0rare", b"e\1\0\0\0b")
    assert columns["filter_other_keys"].tolist() == sorted(_digest(term)[0] for term in others)
    assert columns["filter_numbers"].tolist() == [2.0]
    assert columns["filter_number_starts"].tolist() == [0, 1, 1]


def test_equally_frequent_fields_are_taken_in_the_order_of_their_bytes() -> None:
    record: Metadata = {name: 1.0 for name in "éhgfedcba"}
    assert _names(build(encoded_chunks([record], 1), fields_max=4)) == ["a", "b", "c", "d"]
    assert _names(build(encoded_chunks([record], 1))) == sorted(record)


def test_a_schema_says_what_is_indexed() -> None:
    columns = build(encoded_chunks(_RECORDS, 2), fields=["s", "absent"])
    assert _names(columns) == ["s"]
    assert columns["filter_other_keys"].tolist() == [_digest(b"e\1\0\0\0n")[0]]
    assert columns["filter_numbers"].size == 0
    assert build(encoded_chunks(_RECORDS, 2), fields=["s", "n"])["filter_other_keys"].size == 0


@pytest.mark.parametrize("options", [{"fields": ["s", "absent"]}, {"fields_max": 1}])
def test_what_is_known_of_a_field(options: dict[str, Any]) -> None:
    columns = stored_columns(_RECORDS, **options)
    assert list(columns.fields) == ["s"]
    assert [columns.is_indexed(field) for field in ("s", "n", "absent")] == [True, False, True]


def test_rows_with_many_fields_and_long_lists_are_read_whole() -> None:
    """The scan by columns leaves what few rows have to the scalar codec."""
    wide: Metadata = {f"field{number}": float(number) for number in range(100)}
    long: Metadata = {"tags": [f"tag{number}" for number in range(500)]}
    columns = stored_columns([{"tags": "tag499"}, wide, {}, long], chunk_rows=4)
    assert columns.rows_with_strings("tags", ["tag499"])[0].tolist() == [0, 3]
    assert [rows.tolist() for rows in columns.rows_with_strings("tags", ["tag0", "tag17"])] == [[3], [3]]
    rows, numbers = columns.numbers_of("field99")
    assert (rows.tolist(), numbers.tolist()) == ([1], [99.0])


@pytest.mark.parametrize("size", [64, 65, 5000])
def test_strings_of_any_length_are_told_apart(size: int) -> None:
    records: list[Metadata] = [{"s": "a" * size}, {"s": "a" * (size - 1) + "b"}, {"s": "a" * size}, {"s": "a" * 63}]
    columns = stored_columns(records, chunk_rows=3)
    assert columns.rows_with_strings("s", ["a" * size])[0].tolist() == [0, 2]


def test_metadata_that_is_not_canonical_is_refused() -> None:
    data = encode_metadata({"n": 1.0})[:-1]
    column = BytesColumn(memoryview(data), np.array([0, len(data)]))
    with pytest.raises(InvalidArgumentError):
        build([column])
