"""Selection over stored columns: what the property tests cannot see is what it costs."""

from typing import Any

import numpy as np
import pytest

from pinyon.filter import field_index, plan
from pinyon.filter import stored_columns as stored_columns_module
from pinyon.filter.ast import Equals
from pinyon.filter.evaluate import evaluate
from pinyon.filter.parser import parse
from pinyon.filter.select import select
from pinyon.filter.selection import Selection
from pinyon.filter.stored_columns import SCANNED_ROWS, StoredColumns
from pinyon.filter.term import digest
from pinyon.model.record import BytesColumn, Int64s, Metadata
from pinyon.testing.filter_matcher import matches
from pinyon.testing.filter_strategies import ListColumns
from pinyon.testing.stored_filters import encoded_column, stored_columns

_ROW_COUNT = 2000


def _records() -> list[Metadata]:
    return [
        {
            "user": f"u{row % 1000}",
            "genre": ("drama", "comedy")[row % 2],
            "year": float(row // 2),
            "tags": [f"t{row % 3}", f"t{row % 7}"],
            "new": row % 4 == 0,
        }
        for row in range(_ROW_COUNT)
    ]


RECORDS = _records()


class Reads:
    """Stored columns that count the rows whose metadata is read."""

    def __init__(self, **options: Any) -> None:
        """Index `RECORDS`."""
        columns = stored_columns(RECORDS, **options)
        self.rows: list[int] = []
        self.columns = StoredColumns(columns._array, _ROW_COUNT, self._metadata_at)

    def _metadata_at(self, rows: Int64s) -> BytesColumn:
        self.rows += rows.tolist()
        return encoded_column([RECORDS[row] for row in rows.tolist()])


def _expected(expression: dict[str, Any]) -> list[int]:
    condition = parse(expression)
    assert condition is not None
    return [row for row, record in enumerate(RECORDS) if matches(condition, record)]


EXPRESSIONS: list[dict[str, Any]] = [
    {"user": "u7"},
    {"user": "nobody"},
    {"user": {"$in": [f"u{number}" for number in range(0, 2000, 3)]}},
    {"user": {"$in": []}},
    {"genre": "drama"},
    {"genre": {"$ne": "drama"}},
    {"tags": {"$in": ["t1", "t6"]}},
    {"tags": {"$in": ["t0", "t1", "t2"]}},
    {"year": {"$gte": 10, "$lt": 20}},
    {"$and": [{"year": {"$gt": 10}}, {"$and": [{"year": {"$lte": 20}}, {"genre": "drama"}]}]},
    {"year": {"$gt": 20, "$lt": 10}},
    {"year": {"$in": [3, 4, 5000, 4]}},
    {"new": True},
    {"new": {"$ne": True}, "user": "u8"},
    {"user": "u8", "year": {"$gte": 3}},
    {"user": "u8", "genre": {"$ne": "drama"}},
    {"user": "u8", "tags": {"$in": ["t0", "t1"]}},
    {"$or": [{"user": "u8"}, {"year": 700}]},
    {"$or": [{"genre": "drama"}, {"year": 700}, {"new": True}]},
    {"$and": [{"genre": "drama"}, {"$or": [{"new": True}, {"year": {"$lt": 500}}]}]},
    {"$and": [{"user": "u8"}, {"$or": [{"new": True}, {"year": {"$lt": 500}}]}]},
    {"user": {"$exists": True}},
    {"user": {"$exists": False}},
    {"other": {"$exists": True}},
    {"other": {"$gt": 1}},
    {"other": {"$ne": 1}},
]


@pytest.mark.parametrize("fields_max", [256, 3, 0])
@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("read_cost", [0, 10**9], ids=["reading", "not-reading"])
def test_selected_rows_are_those_that_match(
    monkeypatch: pytest.MonkeyPatch, expression: dict[str, Any], fields_max: int, read_cost: int
) -> None:
    """Whichever way is taken to them."""
    monkeypatch.setattr(plan, "_READ_COST", read_cost)
    monkeypatch.setattr(plan, "_ROW_READ_COST", 0)
    condition = parse(expression)
    assert condition is not None
    columns = stored_columns(RECORDS, fields_max=fields_max)
    selection, expected = select(condition, columns), _expected(expression)
    assert selection.rows().tolist() == expected
    assert selection.rows().dtype == np.int64
    assert np.flatnonzero(selection.mask()).tolist() == expected
    assert selection.mask().dtype == np.bool_
    assert (selection.count, selection.row_count) == (len(expected), _ROW_COUNT)
    assert np.flatnonzero(evaluate(condition, columns)).tolist() == expected


def test_few_matching_rows_are_held_as_rows_and_many_as_a_mask() -> None:
    columns = stored_columns(RECORDS)
    assert select(Equals("user", "u7"), columns).is_sparse
    assert not select(Equals("genre", "drama"), columns).is_sparse
    assert not select(Equals("user", "u7"), ListColumns(RECORDS)).is_sparse


def test_a_field_without_postings_is_read_only_where_the_rest_matches() -> None:
    reads = Reads(fields=["user"])
    condition = parse({"$and": [{"genre": "comedy"}, {"year": {"$ne": 9}}, {"user": "u7"}]})
    assert condition is not None
    assert select(condition, reads.columns).rows().tolist() == [7, 1007]
    assert set(reads.rows) == {7, 1007}


def test_metadata_of_few_rows_is_read_rather_than_a_large_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_READ_COST", 500)
    reads = Reads()
    condition = parse({"user": "u7", "year": {"$gte": 10}})
    assert condition is not None
    assert select(condition, reads.columns).rows().tolist() == [1007]
    assert reads.rows == [7, 1007]


def test_indexed_fields_are_not_read() -> None:
    reads = Reads()
    for expression in EXPRESSIONS:
        condition = parse(expression)
        assert condition is not None
        select(condition, reads.columns)
        evaluate(condition, reads.columns)
    assert reads.rows == []


def test_metadata_is_read_some_thousand_rows_at_a_time() -> None:
    row_count = SCANNED_ROWS + 5
    asked: list[int] = []

    def metadata_at(rows: Int64s) -> BytesColumn:
        asked.append(rows.size)
        return encoded_column([{"n": float(row)} for row in rows.tolist()])

    indexed = stored_columns([{"n": 1.0}], fields=[])
    columns = StoredColumns(indexed._array, row_count, metadata_at)
    condition = parse({"n": {"$gte": SCANNED_ROWS - 1}})
    assert condition is not None
    assert select(condition, columns).rows().tolist() == list(range(SCANNED_ROWS - 1, row_count))
    assert np.flatnonzero(evaluate(condition, columns)).tolist() == list(range(SCANNED_ROWS - 1, row_count))
    assert asked == [SCANNED_ROWS, 5] * 2


def test_terms_with_equal_keys_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def colliding(prefix: bytes, value: bytes | memoryview = b"") -> bytes:
        return bytes(8) + digest(prefix, value)[8:]

    monkeypatch.setattr(field_index, "digest", colliding)
    monkeypatch.setattr(stored_columns_module, "digest", colliding)
    columns = stored_columns(RECORDS[:50], chunk_rows=7)
    for row in range(50):
        assert columns.rows_with_strings("user", [f"u{row}"])[0].tolist() == [row]
    assert sorted(rows.tolist() for rows in columns.rows_with_strings("user", ["u5", "x", "u7"])) == [[5], [7]]
    assert columns.rows_with_strings("user", ["x", "u50", "genre"]) == []


def test_text_that_utf8_cannot_hold_is_found_nowhere() -> None:
    for columns in (stored_columns(RECORDS), stored_columns(RECORDS[:10], fields=[])):
        assert select(Equals("user", "\ud800"), columns).count == 0
    assert select(Equals("\ud800", "u1"), stored_columns(RECORDS)).count == 0


class TestSelection:
    """Sets of rows, each in either form."""

    ROWS: tuple[list[int], ...] = ([], [3], [0, 3, 19], list(range(20)))

    @staticmethod
    def forms(rows: list[int]) -> list[Selection]:
        """The same set as rows and as a mask."""
        mask = np.zeros(20, np.bool_)
        mask[rows] = True
        return [Selection.of_rows(np.array(rows, np.int32), 20), Selection.of_mask(mask)]

    @pytest.mark.parametrize("left", ROWS, ids=str)
    @pytest.mark.parametrize("right", ROWS, ids=str)
    def test_common_and_other_rows(self, left: list[int], right: list[int]) -> None:
        for first in self.forms(left):
            for second in self.forms(right):
                assert (first & second).rows().tolist() == sorted(set(left) & set(right))
                assert (first - second).rows().tolist() == sorted(set(left) - set(right))
                assert (first & second).count == len(set(left) & set(right))
                assert first.rows().tolist() == left

    @pytest.mark.parametrize("row_count", [6, 1000])
    def test_lists_are_put_together(self, row_count: int) -> None:
        lists = [np.array(rows, np.int32) for rows in ([5, 1], [], [1, 2])]
        assert Selection.of_lists(lists, row_count, ascending=False).rows().tolist() == [1, 2, 5]
        assert Selection.of_lists(lists[:1], row_count, ascending=False).rows().tolist() == [1, 5]
        assert Selection.of_lists([], row_count, ascending=True).rows().tolist() == []
