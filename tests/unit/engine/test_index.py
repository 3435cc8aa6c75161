"""An index: reads see one state and every acknowledged write, and a restart changes neither."""

import threading
import tracemalloc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import msgspec
import numpy as np
import pytest

from pinyon.engine import memtable
from pinyon.engine.index import Index
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
)
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_store import SegmentStore
from pinyon.errors import DataLossError, InvalidArgumentError, UnavailableError
from pinyon.filter.ast import Filter
from pinyon.filter.parser import parse
from pinyon.model.metric import Metric
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import RecordBatch
from pinyon.protobuf.struct import encode_metadata
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch, plain_record
from tests.opened_log import open_log
from tests.unit.engine.searched_index import definition_of

DEFINITION = definition_of(1, Metric.DOTPRODUCT)
PLAN = SearchPlan(
    Metric.DOTPRODUCT, 10_000, np.ones(1, np.float32), None, None, include_values=True, include_metadata=True
)


def open_index(storage: MemoryStorage, dimension: int = 1) -> Index:
    definition = msgspec.structs.replace(DEFINITION, dimension=dimension)
    storage.make_directory("i")
    store = SegmentStore(storage, "i", definition)
    store.make_folder()
    return Index(definition, open_log(storage, "i/log"), store)


@pytest.fixture
def index() -> Index:
    return open_index(MemoryStorage())


def upsert(ids: str, number: float = 0, metadata: Mapping[str, str] | None = None) -> UpsertRecords:
    return UpsertRecords("n", batch({id_: PlainRecord((number,), {}, dict(metadata or {})) for id_ in ids}))


def scores(index: Index, name: str = "n") -> dict[str, float]:
    return {match.id: match.score for match in index.search(index.read(name)[0], PLAN)}


def condition(expression: dict[str, str]) -> Filter:
    parsed = parse(expression)
    assert parsed is not None
    return parsed


def test_lsns_count_writes_and_reads_name_the_newest(index: Index) -> None:
    assert index.lsn == 0
    assert index.read("n")[0].lsn == 0
    assert [index.write(upsert("ab")), index.write(DeleteRecords("n", ["a"])), index.write(DeleteNamespace("x"))] == [
        1,
        2,
        3,
    ]
    assert index.lsn == index.read("n")[0].lsn == index.read("unknown")[0].lsn == 3
    assert index.list_ids("n", "", None, 10) == (3, ["b"])
    assert index.list_ids("unknown", "", None, 10) == (3, [])
    assert index.record_counts() == (3, {"n": 1})


def test_records_are_read_by_id_and_missing_ones_left_out(index: Index) -> None:
    index.write(upsert("ab", 1, {"k": "v"}))
    _, records = index.read("n", ["b", "x", "a"])
    assert [record.id for record in records] == ["b", "a"]
    assert plain_record(records[0]) == PlainRecord((1,), {}, {"k": "v"})
    assert index.read("unknown", ["a"])[1] == []


@pytest.mark.parametrize(
    "write",
    [
        upsert("ad", 9),
        PatchRecords("n", batch({"a": PlainRecord((9,))})),
        DeleteRecords("n", ["a", "b", "c"]),
        DeleteNamespace("n"),
        DeleteNamespace("n", keep_declared=True),
    ],
    ids=lambda write: type(write).__name__,
)
@pytest.mark.parametrize("rows_in_a_block", [1, 2, 1024])
def test_a_view_never_sees_a_later_write(
    write: Operation, rows_in_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memtable, "block_rows", lambda _: rows_in_a_block)
    index = open_index(MemoryStorage())
    index.write(upsert("abc", 1))
    view, records = index.read("n", ["a"])
    for _ in range(3):
        index.write(write)
    assert {match.id: match.score for match in index.search(view, PLAN)} == {"a": 1, "b": 1, "c": 1}
    assert plain_record(records[0]) == PlainRecord((1,))
    assert view.lsn == 1


def test_readers_see_whole_requests_while_writers_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request gives all records of a namespace one number; a read that sees two of them saw half a request."""
    monkeypatch.setattr(memtable, "block_rows", lambda _: 16)
    index = open_index(MemoryStorage())
    ids = [f"id{number}" for number in range(50)]
    stopped = threading.Event()

    def write(number: int) -> None:
        index.write(UpsertRecords("n", batch({id_: PlainRecord((number,)) for id_ in ids})))

    def write_all() -> None:
        for number in range(1, 60):
            write(number)

    def read_until_stopped() -> list[tuple[int, int]]:
        seen = []
        while not stopped.is_set():
            matches = index.search(index.read("n")[0], PLAN)
            seen.append((len(matches), len({match.score for match in matches})))
        return seen

    write(0)
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_until_stopped) for _ in range(2)]
        writers = [pool.submit(write_all) for _ in range(2)]
        for writer in writers:
            writer.result()
        stopped.set()
        assert {seen for reader in readers for seen in reader.result()} == {(50, 1)}


def test_filters_are_answered_while_rows_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(MemoryStorage())
    even = condition({"parity": "even"})
    stopped = threading.Event()

    def read_until_stopped() -> list[bool]:
        right = []
        while not stopped.is_set():
            _, found = index.matching_records("n", even, None, 1000)
            right.append([record.id for record in found] == [f"{number:05}" for number in range(0, 2 * len(found), 2)])
        return right

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_until_stopped) for _ in range(3)]
        for number in range(600):
            parity = "odd" if number % 2 else "even"
            index.write(UpsertRecords("n", batch({f"{number:05}": PlainRecord((1,), {}, {"parity": parity})})))
        stopped.set()
        assert all(all(reader.result()) for reader in readers)


def test_an_update_of_many_records_holds_them_but_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable, "block_rows", lambda _: 256)
    index = open_index(MemoryStorage(), dimension=1024)
    ids = [f"id{number}" for number in range(3000)]
    index.write(UpsertRecords("n", RecordBatch(ids, np.ones((len(ids), 1024), np.float32), None, None)))
    index.maintenance.flush()
    tracemalloc.start()
    try:
        index.write(SetMetadata("n", ids, encode_metadata({"k": "v"})))
        kept_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ids) * 4096 < kept_bytes <= peak_bytes < 1.5 * len(ids) * 4096


def test_a_write_that_depends_on_a_filter_sees_the_writes_before_it(index: Index) -> None:
    index.write(upsert("abc", 1, {"k": "v"}))
    index.write(upsert("b", 2, {"k": "w"}))
    given: list[list[str]] = []

    def make(ids: list[str]) -> Operation:
        given.append(ids)
        return DeleteRecords("n", ids)

    assert index.write_matching("n", condition({"k": "v"}), make) == 3
    assert sorted(given[0]) == ["a", "c"]
    assert scores(index) == {"b": 2}
    assert index.write_matching("unknown", condition({"k": "v"}), lambda ids: None) == 3


def test_a_write_that_is_refused_on_the_way_changes_nothing(index: Index) -> None:
    def refuse(_: list[str]) -> Operation:
        raise InvalidArgumentError("too many")

    index.write(upsert("a", 1, {"k": "v"}))
    with pytest.raises(InvalidArgumentError):
        index.write_matching("n", condition({"k": "v"}), refuse)
    assert index.lsn == 1
    assert index.write(upsert("b", 1)) == 2


def test_namespaces_are_described(index: Index) -> None:
    index.write(CreateNamespace("declared", ("genre",)))
    index.write(upsert("ab", 1))
    index.write(upsert("a", 2))
    assert index.record_counts() == (3, {"declared": 0, "n": 2})
    assert index.describe_namespace("declared") == NamespaceDescription("declared", 0, 0, ("genre",))
    assert index.describe_namespace("n") == NamespaceDescription("n", 2, 3 * 4 + 3, None)
    assert index.describe_namespace("unknown") is None
    assert index.has_namespace("declared")
    assert not index.has_namespace("unknown")
    assert index.filterable_fields("declared") == ("genre",)
    assert index.filterable_fields("n") is index.filterable_fields("unknown") is None
    assert index.namespace_count == 2
    index.write(DeleteRecords("n", ["a", "b"]))
    assert index.record_counts() == (4, {"declared": 0})
    assert index.describe_namespace("n") is None
    assert index.has_namespace("n")
    assert not index.is_listed("n")
    assert index.namespace_count == 1


def test_records_are_counted_at_the_lsn_that_is_named(index: Index) -> None:
    lock = index._state.lock

    class WriteOnRelease:
        """The index's lock, which another writer takes as soon as it can."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            index._state.lock = lock
            index.write(upsert("b"))

    index.write(upsert("a"))
    index._state.lock = WriteOnRelease()  # type: ignore[assignment]
    assert index.record_counts() == (1, {"n": 1})
    assert index.record_counts() == (2, {"n": 2})


def test_counts_once_given_never_change(index: Index) -> None:
    index.write(upsert("a"))
    _, before = index.record_counts()
    index.write(upsert("b"))
    assert before == {"n": 1}


def test_lists_of_namespaces_follow_each_that_begins_or_ends(index: Index) -> None:
    def listed() -> list[str]:
        return index.list_namespaces("", None, 10)[0]

    assert listed() == []
    index.write(upsert("a"))
    assert listed() == ["n"]
    index.write(CreateNamespace("declared", None))
    assert listed() == ["declared", "n"]
    index.write(DeleteRecords("n", ["a"]))
    assert listed() == ["declared"]
    index.write(DeleteNamespace("declared", keep_declared=True))
    assert listed() == ["declared"]
    index.write(DeleteNamespace("declared"))
    assert listed() == []


def test_a_list_of_namespaces_sees_those_that_began_before_it(index: Index) -> None:
    def begin_and_list(thread: int) -> None:
        for number in range(50):
            name = f"{thread}/{number:02}"
            index.write(CreateNamespace(name, None))
            assert index.list_namespaces(name, None, 10) == ([name], 1)
        first, total_count = index.list_namespaces(f"{thread}/", f"{thread}/39", 20)
        assert (first, total_count) == ([f"{thread}/{number}" for number in range(40, 50)], 50)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(begin_and_list, range(4)))


def test_a_restart_finds_the_same_and_goes_on() -> None:
    storage = MemoryStorage()
    index = open_index(storage)
    index.write(upsert("abc", 1, {"k": "v"}))
    index.write(PatchRecords("n", batch({"a": PlainRecord((5,))})))
    index.write(CreateNamespace("declared", None))
    index.write(DeleteRecords("n", ["b"]))
    before = (scores(index), index.record_counts(), index.lsn)
    index.close()
    again = open_index(storage)
    assert (scores(again), again.record_counts(), again.lsn) == before
    assert again.write(upsert("d")) == 5


def test_a_closed_index_refuses_writes_and_still_reads(index: Index) -> None:
    index.write(upsert("a", 1))
    index.close()
    with pytest.raises(UnavailableError):
        index.write(upsert("b"))
    assert scores(index) == {"a": 1}
    index.close()


def test_an_entry_that_is_no_operation_is_data_loss() -> None:
    storage = MemoryStorage()
    storage.make_directory("i")
    log = open_log(storage, "i/log")
    log.append([[b"not an operation"]])
    log.close()
    with pytest.raises(DataLossError, match=r"^i/log/00000000000000000001\.log, entry 1: a log entry cannot be read"):
        open_index(storage)


def test_pages_of_ids(index: Index) -> None:
    index.write(UpsertRecords("n", batch({f"{number:03}": PlainRecord((0,)) for number in range(25)})))
    pages: list[list[str]] = []
    while page := index.list_ids("n", "0", pages[-1][-1] if pages else None, 10)[1]:
        pages.append(page)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert list(chain.from_iterable(pages)) == [f"{number:03}" for number in range(25)]
