"""Maintenance beside damage that a start does not see: what is damaged rests, and all else has its turn."""

import logging
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from pinyon.engine import graphs, recall_keeper
from pinyon.engine.background import Work
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import DataLossError
from pinyon.model.record import Float32s, RecordBatch
from pinyon.segment.column_format import read_footer, read_trailer
from pinyon.storage.memory import MemoryStorage
from tests.unit.engine.data_directories import files_of, flipped, storage_of
from tests.unit.engine.searched_index import clustered, definition_of, new_database, plan, write

ROWS = clustered(1200, 16)
OPTIONS = MaintenanceOptions(
    graph_rows_min=1000, idle_ticks=0, idle_flush_bytes=1, build=BuildOptions(dedicated_rows_min=500)
)
NAMES = ("first", "second")


class Kept:
    """Two indexes over a storage, whose work waits until it is asked for."""

    def __init__(self, storage: MemoryStorage, options: MaintenanceOptions = OPTIONS) -> None:
        self.storage = storage
        self.works: deque[Work] = deque()
        self.flushes: deque[Work] = deque()
        salts = count(1)
        self.database = Database(
            storage,
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=2**30,
            flush_later=self.flushes.append,
            work_later=self.works.append,
            maintenance_options=options,
        )

    def tick(self) -> None:
        self.database.tick()
        for waiting in (self.flushes, self.works):
            while waiting:
                waiting.popleft()()


def made(prepare: Callable[[Index], object]) -> MemoryStorage:
    """A storage with two indexes of which each was prepared."""
    kept = Kept(MemoryStorage())
    for name in NAMES:
        index = kept.database.create(msgspec.structs.replace(definition_of(16), name=name, index_id=name))
        write(index, ROWS)
        prepare(index)
    kept.database.close()
    return kept.storage


def flush_and_tune(index: Index) -> None:
    """Do all but building a graph."""
    index.maintenance.flush()
    for live in index._state.store.segments.values():
        index.maintenance.recall.tune(live, ["quantised"])


def write_to(namespace: str, index: Index, rows: Float32s) -> None:
    ids = [f"{row}" for row in range(len(rows))]
    index.write(UpsertRecords(namespace, RecordBatch(ids, rows, None, None)))


def with_damaged(storage: MemoryStorage, column: str) -> MemoryStorage:
    """The storage, with one bit wrong in a column of the newest segment of the first index."""
    files = files_of(storage)
    path = max(path for path in files if path.startswith("indexes/first/") and path.endswith(".seg"))
    content = memoryview(files[path])
    footer = read_footer(path, content, read_trailer(path, content))
    (found,) = (each for each in footer.columns if each.name == column)
    return storage_of(flipped(files, path, found.offset, 0))


def test_a_damaged_column_keeps_no_other_index_from_its_graph(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(with_damaged(made(flush_and_tune), "origin"))
    for _ in range(5):
        kept.tick()
    first, second = kept.database.report().indexes
    assert (second.graphs, second.is_settled) == (1, True)
    assert first.graphs == 0
    assert "index first: maintenance failed: indexes/first/segments/" in caplog.text
    assert "cannot begin" not in caplog.text, "what is due is known without the bytes of a segment"


def test_a_damaged_column_keeps_its_own_index_from_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(with_damaged(made(flush_and_tune), "partition_starts"))
    index = kept.database.index("first")
    write_to("small", index, -ROWS[:10])
    write_to("large", index, -ROWS[:600])
    for _ in range(50):
        kept.tick()
    report = index.report()
    assert (report.memtable_bytes, report.segments) == (0, 3)
    assert {"flush", "tune"} <= report.done.keys()
    told = [record.getMessage() for record in caplog.records if "maintenance" in record.getMessage()]
    assert len(told) == len(set(told)) <= 2, "once for each task that needs the column, and then it rests"


def test_a_damaged_segment_keeps_others_from_no_merge(caplog: pytest.LogCaptureFixture) -> None:
    def flush_thrice(index: Index) -> None:
        for name in ("a", "b", "c"):
            write_to(name, index, ROWS[:5])
            index.maintenance.flush()

    kept = Kept(with_damaged(made(flush_thrice), "ids"))
    for _ in range(50):
        kept.tick()
    first, second = kept.database.report().indexes
    assert (first.segments, second.segments) == (3, 2)
    assert caplog.text.count("index first: maintenance failed") == 1


def test_an_intact_graph_outlives_damage_elsewhere() -> None:
    storage = with_damaged(made(lambda index: index.maintenance.settle()), "origin")
    kept = Kept(storage)
    for _ in range(5):
        kept.tick()
    assert any(name.endswith(".graph") for name in storage.list_directory("indexes/first/segments"))
    first, second = kept.database.report().indexes
    assert (first.graphs, first.graph_bytes) == (1, 0)
    assert second.graph_bytes > 0


def test_where_it_cannot_be_told_what_is_due_the_others_have_their_turn(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(made(lambda index: index.maintenance.flush()))

    def fail(_: object) -> bool:
        raise DataLossError("a file is damaged")

    monkeypatch.setattr(kept.database.index("first").maintenance.recall, "wants_graph_opened", fail)
    for _ in range(5):
        kept.tick()
    first, second = kept.database.report().indexes
    assert (first.is_settled, second.is_settled, second.graphs) == (False, True, 1)
    assert "index first: maintenance cannot begin: a file is damaged" in caplog.text


def test_memory_is_given_back_though_one_index_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    options = MaintenanceOptions(memtables_bytes_max=1, build=OPTIONS.build)
    kept = Kept(made(lambda index: None), options)

    def fail() -> None:
        raise DataLossError("a file is damaged")

    monkeypatch.setattr(kept.database.index("first").maintenance, "tick", fail)
    kept.tick()
    assert kept.database.report().process.memtables_bytes == 0


def test_a_missing_graph_is_built_anew(caplog: pytest.LogCaptureFixture) -> None:
    files = files_of(made(lambda index: index.maintenance.settle()))
    (graph,) = (path for path in files if path.startswith("indexes/first/") and path.endswith(".graph"))
    kept = Kept(storage_of({path: content for path, content in files.items() if path != graph}))
    index = kept.database.index("first")
    assert len(index.search(index.read("n")[0], plan(ROWS[0]))) == 10
    for _ in range(5):
        kept.tick()
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert f"{graph}: the file is missing" in warning.getMessage()
    assert "the graph is built anew" in warning.getMessage()
    first, _ = kept.database.report().indexes
    assert (first.graphs, first.is_settled, first.done["build graph"]) == (1, True, 1)
    assert first.graph_bytes > 0
    assert graph in files_of(kept.storage)


def test_a_graph_whose_segment_ends_meanwhile_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    index = new_database(OPTIONS).create(definition_of(16))
    write(index, ROWS)

    def build_while_all_is_deleted(*arguments: Any) -> Any:
        efforts = graphs.build_graph(*arguments)
        assert efforts is not None
        index.write(DeleteNamespace("n"))
        index.maintenance.flush()
        return efforts

    monkeypatch.setattr(recall_keeper, "build_graph", build_while_all_is_deleted)
    index.maintenance.settle()
    store = index._state.store
    assert not store.segments
    assert store.storage.list_directory("indexes/1/segments") == []
