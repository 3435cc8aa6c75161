"""The report: who uses what, number by number."""

import msgspec
import pytest

from pinyon.ann.graph import open_bytes
from pinyon.engine.background import Work
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteRecords
from pinyon.engine.report import Report
from pinyon.engine.segment_build import BuildOptions
from pinyon.filter.ast import Exists, Not
from pinyon.storage.machine import ProcessMemory
from tests.unit.engine.searched_index import clustered, definition_of, new_database, plan, searched_index, write

ROWS = clustered(1200, 16)


def test_records_in_memory_and_then_in_segments() -> None:
    index = searched_index(ROWS, graph_rows_min=1000)
    report = index.report()
    assert (report.name, report.lsn, report.flushed_lsn, report.namespaces) == ("i", 1, 1, 1)
    assert (report.memtable_bytes, report.frozen_bytes, report.dead_rows_bytes) == (0, 0, 0)
    assert (report.segments, report.segment_rows, report.dead_rows, report.graphs) == (1, 1200, 0, 1)
    assert report.segment_bytes > ROWS.nbytes
    assert report.graph_bytes > 16 * 1200
    assert report.graph_memory_bytes == open_bytes(1200) >= 16 * 1200
    assert report.done == {"flush": 1, "build graph": 1, "tune": 1}

    write(index, ROWS[:100])
    after = index.report()
    assert (after.lsn, after.flushed_lsn) == (2, 1)
    assert 100 * 64 < after.memtable_bytes < 100_000
    assert after.log_bytes > report.log_bytes
    assert after.dead_rows == 100
    assert after.dead_rows_bytes == 1200 * 8
    index.write(DeleteRecords("n", ["1100"]))
    assert index.report().dead_rows == 101


def test_the_rows_that_filters_selected_are_told_and_bounded_by_the_limit() -> None:
    database = new_database(
        MaintenanceOptions(graph_rows_min=0, build=BuildOptions(dedicated_rows_min=500)), memory_limit_bytes=2**28
    )
    index = database.create(definition_of(16))
    write(index, ROWS)
    index.maintenance.settle()
    before = database.report().process
    condition = Not(Exists("x"))
    index.search(index.read("n")[0], plan(ROWS[0], filter=condition))
    after = database.report().process
    assert after.selections_bytes - before.selections_bytes >= 1200 * 4
    assert after.selections_bytes_max == 2**24


def test_a_recall_is_told_once_enough_queries_were_compared() -> None:
    index = searched_index(ROWS)
    for query in clustered(8, 16, seed=3):
        assert index.report().recall.measured is None
        index.search(index.read("n")[0], plan(query))
        for _ in range(10):
            index.tick()
        index.maintenance.settle()
    recall = index.report().recall
    assert recall.comparisons == 8
    assert recall.measured is not None
    assert recall.measured > 0.9
    assert (recall.target, recall.loss_factor) == (0.97, 1.0)


def test_what_is_under_way_is_named() -> None:
    flushes: list[Work] = []
    works: list[Work] = []
    options = MaintenanceOptions(graph_rows_min=0, idle_ticks=0, build=BuildOptions(dedicated_rows_min=500))
    database = new_database(options, flush_later=flushes.append, work_later=works.append)
    index = database.create(definition_of(16))
    write(index, ROWS)
    index.maintenance.flush_soon()
    assert index.report().under_way == ["flush"]
    flushes.pop()()
    assert index.report().under_way == []
    seen: list[list[str]] = []
    index.maintenance.recall.tune = lambda *_: seen.append(index.report().under_way)  # type: ignore[method-assign]
    database.tick()
    works.pop()()
    assert seen[0] == ["tune"]


@pytest.mark.parametrize("limit_bytes", [None, 512 * 1024 * 1024])
def test_the_whole_process(limit_bytes: int | None) -> None:
    database = new_database(MaintenanceOptions(), memory_limit_bytes=limit_bytes)
    write(database.create(definition_of(16)), ROWS)
    report = database.report()
    assert report.process.memory_limit_bytes == limit_bytes
    assert report.process.memtables_bytes == report.indexes[0].memtable_bytes > ROWS.nbytes
    assert report.process.memtables_bytes_max == (512 if limit_bytes is None else 116) * 1024 * 1024
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_memory_of_the_process_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinyon.engine.report.process_memory", lambda: ProcessMemory(5, 7))
    process = new_database(MaintenanceOptions()).report().process
    assert (process.rss_anon_bytes, process.rss_file_bytes) == (5, 7)
