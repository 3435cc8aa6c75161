"""A segment gives back the rows of its namespaces, finds them by id, and is never wrong about damage."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinyon.errors import DataLossError, FailedPreconditionError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.record import BytesColumn, Float32s, Record, SparseColumn, SparseVector
from pinyon.segment import writer
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.id_hash import id_hashes
from pinyon.segment.layout import SEGMENT_KIND
from pinyon.segment.segment import Segment
from pinyon.segment.writer import ExtraColumn, write_segment
from pinyon.storage.memory import MemoryStorage

PATH = "segment"
DIMENSION = 3


@dataclass(frozen=True)
class Group:
    """The rows of a namespace."""

    namespace: str
    records: Sequence[Record]

    def __len__(self) -> int:
        return len(self.records)

    def ids(self, start: int, stop: int) -> list[str]:
        return [record.id for record in self.records[start:stop]]

    def dense(self, start: int, stop: int) -> Float32s | None:
        dense = [record.dense for record in self.records[start:stop] if record.dense is not None]
        return np.stack(dense) if dense else None

    def sparse(self, start: int, stop: int) -> SparseColumn:
        column = sparse_column([record.sparse for record in self.records[start:stop]])
        empty = SparseColumn(np.zeros(stop - start + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
        return column or empty

    def metadata(self, start: int, stop: int) -> BytesColumn:
        column = bytes_column([record.metadata for record in self.records[start:stop]])
        return column or BytesColumn(memoryview(b""), np.zeros(stop - start + 1, np.int64))


ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=4)
numbers = st.floats(-1e3, 1e3, width=32)
vectors = st.lists(numbers, min_size=1, max_size=4).map(
    lambda values: SparseVector(np.arange(len(values), dtype=np.uint32) * 7, np.array(values, np.float32))
)


def records(dimension: int | None) -> st.SearchStrategy[Record]:
    dense = st.lists(numbers, min_size=dimension or 0, max_size=dimension or 0)
    arrays = st.none() if dimension is None else dense.map(lambda values: np.array(values, np.float32))
    return st.builds(Record, ids, arrays, st.none() | vectors, st.binary(max_size=5))


def groups(dimension: int | None) -> st.SearchStrategy[list[Group]]:
    rows = st.lists(records(dimension), max_size=6, unique_by=lambda record: record.id)
    group = st.builds(Group, st.text(max_size=3), rows)
    return st.lists(group, max_size=5, unique_by=lambda each: each.namespace)


@given(written=st.sampled_from([None, DIMENSION]).flatmap(lambda d: st.tuples(st.just(d), groups(d))))
def test_rows_come_back_as_they_were_written(written: tuple[int | None, list[Group]]) -> None:
    dimension, given_groups = written
    segment = _segment(given_groups, dimension)
    expected = [record for group in given_groups for record in group.records]
    assert (segment.row_count, segment.dimension, segment.properties) == (len(expected), dimension, {"x": 1})
    assert [(each.name, each.stop - each.start) for each in segment.namespaces] == [
        (group.namespace, len(group)) for group in given_groups
    ]
    _assert_holds(segment, expected)
    segment.verify()


@given(given_groups=groups(DIMENSION), others=st.lists(ids, max_size=5))
def test_ids_are_found_in_their_namespace_only(given_groups: list[Group], others: list[str]) -> None:
    segment = _segment(given_groups)
    wanted = [record.id for group in given_groups for record in group.records] + others
    for rows, group in zip(segment.namespaces, given_groups, strict=True):
        row_of = {record.id: rows.start + at for at, record in enumerate(group.records)}
        assert segment.find(rows, id_hashes(wanted), wanted).tolist() == [row_of.get(id_, -1) for id_ in wanted]


def test_ids_with_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(names: Sequence[str]) -> NDArray[np.uint64]:
        return np.full(len(names), 7, np.uint64)

    monkeypatch.setattr(writer, "id_hashes", same)
    segment = _segment([_group("a", ["x", "y", "z"]), _group("b", ["w"])])
    wanted = ["z", "w", "x", "v", "y"]
    assert segment.find(segment.namespaces[0], same(wanted), wanted).tolist() == [2, -1, 0, -1, 1]


@given(group=groups(DIMENSION), prefix=st.text(max_size=2), after=st.none() | ids)
def test_ids_are_listed_in_byte_order(group: list[Group], prefix: str, after: str | None) -> None:
    segment = _segment(group)
    for rows, each in zip(segment.namespaces, group, strict=True):
        row_of = {record.id: rows.start + at for at, record in enumerate(each.records)}
        wanted = [id_ for id_ in sorted(row_of) if id_.startswith(prefix) and (after is None or id_ > after)]
        assert list(segment.ids_from(rows, prefix, after)) == [(id_, row_of[id_]) for id_ in wanted]


def test_many_ids_are_listed() -> None:
    names = [f"id-{number * 7 % 1000}" for number in range(1000)]
    segment = _segment([_group("", names)])
    (rows,) = segment.namespaces
    assert [id_ for id_, _ in segment.ids_from(rows, "", None)] == sorted(names)
    assert [id_ for id_, _ in segment.ids_from(rows, "id-1", "id-198")] == ["id-199"]
    assert [names[row] for _, row in segment.ids_from(rows, "id-99", None)] == [
        "id-99",
        *(f"id-99{n}" for n in range(10)),
    ]


def test_ranges_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_PART_ROWS_MAX", 4)
    asked: list[tuple[str, int, int]] = []

    class Counting(Group):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name not in ("ids", "dense", "sparse", "metadata"):
                return value

            def counted(start: int, stop: int) -> Any:
                asked.append((name, start, stop))
                return value(start, stop)

            return counted

    rows = [Record(f"{n}", np.ones(DIMENSION, np.float32), None, b"") for n in range(10)]
    _segment([Counting("a", rows)])
    ranges = [(0, 4), (4, 8), (8, 10)]
    assert sorted(asked) == [(name, *each) for name in ("dense", "ids", "metadata", "sparse") for each in ranges]


def test_extra_columns_come_back() -> None:
    storage = MemoryStorage()
    made: list[str] = []

    def parts(name: str) -> Iterator[NDArray[Any]]:
        made.append(name)
        yield np.arange(6, dtype=np.int32).reshape(3, 2)

    extra = (ExtraColumn(name, np.int32, 2, parts(name)) for name in ("one", "two"))
    write_segment(storage, PATH, [_group("a", ["x"])], dimension=DIMENSION, extra=extra, properties={})
    segment = Segment.open(storage, PATH)
    assert made == ["one", "two"]
    assert (segment.has_extra("two"), segment.has_extra("three")) == (True, False)
    assert segment.extra("two").tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(DataLossError, match="segment: it has no column three"):
        segment.extra("three")
    segment.verify()


def test_damage_is_an_error_or_does_not_show() -> None:
    storage = MemoryStorage()
    given_groups = [_group("a", ["x", "yy"]), _group("b", ["z"])]
    _write(storage, given_groups)
    content = bytes(storage.read(PATH))
    expected = [record for group in given_groups for record in group.records]
    for at in range(len(content)):
        storage.replace(PATH, content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        with pytest.raises((DataLossError, FailedPreconditionError), match=PATH):
            Segment.open(storage, PATH).verify()
        try:
            _assert_holds(Segment.open(storage, PATH), expected)
        except (DataLossError, FailedPreconditionError) as error:
            assert PATH in error.message  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("namespace_starts", lambda starts: starts + 1, "not all rows"),
        ("namespace_starts", lambda starts: starts[[0, 0, 1]], "not all rows"),
        ("namespace_names", lambda names: names | 0x80, "not UTF-8"),
        ("namespace_names", lambda names: names[[0, 0]], "same name"),
        ("namespace_offsets", lambda offsets: offsets[::-1], "does not divide"),
        ("ids", lambda data: data | 0x80, "not UTF-8"),
        ("ids", lambda data: data * 0, "NUL"),
        ("ids", lambda data: np.full_like(data, ord("x")), "two rows of a namespace have the id 'x'"),
        ("id_offsets", lambda offsets: offsets - 1, "does not divide"),
        ("id_offsets", lambda offsets: offsets[[0, 0, 2, 3]], "empty"),
        ("id_order", lambda order: order[[1, 0, 2]], "id_order"),
        ("hashes", lambda hashes: hashes[[1, 0, 2]], "hashes"),
        ("hashes", lambda hashes: hashes + np.uint64(1), "hashes"),
        ("hash_order", lambda order: order[[0, 0, 2]], "hash_order"),
        ("hash_order", lambda order: order[[2, 1, 0]], "hash_order"),
        ("hash_order", lambda order: order[:2], "hash_order is"),
        ("metadata_offsets", lambda offsets: offsets[::-1], "does not divide"),
        ("sparse_offsets", lambda offsets: offsets + 1, "does not divide"),
        ("sparse_values", lambda values: values[1:], "sparse_values is"),
        ("squared_norms", lambda norms: norms + 1, "squared_norms"),
        ("dense", lambda dense: dense.astype(np.float64), "dense is"),
        ("dense", lambda dense: dense[:, 1:], "dense is"),
    ],
)
def test_what_was_written_wrong_is_found(name: str, change: Callable[[NDArray[Any]], NDArray[Any]], what: str) -> None:
    storage = MemoryStorage()
    _write(storage, [_group("a", ["x", "y"]), _group("b", ["z"])])
    file = ColumnFile.open(storage, PATH, SEGMENT_KIND)
    columns = {each: file.array(each) for each in file.names}
    columns[name] = change(columns[name])
    made = ColumnFileWriter(storage.create("wrong"), SEGMENT_KIND)
    for each, column in columns.items():
        made.write(each, [column], column.dtype, column.shape[1] if column.ndim == 2 else None)
    made.finish(file.properties)
    with pytest.raises(DataLossError, match=f"wrong: .*{what}"):
        Segment.open(storage, "wrong").verify()


def _assert_holds(segment: Segment, expected: list[Record]) -> None:
    count = len(expected)
    rows = np.arange(count)[::-1]
    assert segment.ids(rows) == [record.id for record in expected[::-1]]
    assert [segment.metadata_rows(rows)[at] for at in range(count)] == [record.metadata for record in expected[::-1]]
    assert [segment.metadata_slice(0, count)[at] for at in range(count)] == [record.metadata for record in expected]
    taken, column = segment.take_sparse(rows), segment.sparse_rows(0, count)
    for row, record in enumerate(expected):
        found = segment.record(row)
        assert (found.id, found.metadata) == (record.id, record.metadata)
        assert _same(found.sparse, record.sparse)
        assert _same(column[row], record.sparse)
        assert _same(taken[count - 1 - row], record.sparse)
        np.testing.assert_array_equal(found.dense, record.dense)
    if segment.dimension is not None and count:
        dense = np.stack([record.dense for record in expected if record.dense is not None])
        assert segment.dense is not None
        np.testing.assert_array_equal(segment.dense.slice(0, count), dense)
        norms = (dense.astype(np.float64) ** 2).sum(axis=1)
        np.testing.assert_allclose(segment.squared_norms.rows(rows), norms[::-1], rtol=1e-5)
    assert segment.sparse_count == sum(0 if each.sparse is None else len(each.sparse.indices) for each in expected)


def _same(found: SparseVector | None, expected: SparseVector | None) -> bool:
    if found is None or expected is None:
        return expected is None and (found is None or not len(found.indices))
    is_same = np.array_equal(found.indices, expected.indices) and np.array_equal(found.values, expected.values)
    return bool(is_same)


def _group(namespace: str, names: list[str]) -> Group:
    sparse = SparseVector(np.array([3, 5], np.uint32), np.array([1, 2], np.float32))
    return Group(
        namespace, [Record(name, np.full(DIMENSION, len(name), np.float32), sparse, name.encode()) for name in names]
    )


def _write(storage: MemoryStorage, given_groups: Sequence[Group], dimension: int | None = DIMENSION) -> None:
    write_segment(storage, PATH, given_groups, dimension=dimension, properties={"x": 1})


def _segment(given_groups: Sequence[Group], dimension: int | None = DIMENSION) -> Segment:
    storage = MemoryStorage()
    _write(storage, given_groups, dimension)
    return Segment.open(storage, PATH)
