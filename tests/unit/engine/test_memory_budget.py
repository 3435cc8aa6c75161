"""A memory limit: how it is shared out, and that indexes keep to it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pinyon.engine.background import Work
from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions
from pinyon.engine.memory_budget import options_within, selections_bytes_within
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.testing.engine_model import PlainRecord, batch
from tests.unit.engine.searched_index import clustered, definition_of, new_database, searched_index, write

MIB = 1024 * 1024
BUILD = BuildOptions(dedicated_rows_min=500)


def test_shares_of_a_small_limit() -> None:
    options = options_within(256 * MIB)
    assert options.memtables_bytes_max == 52 * MIB
    assert 3 * options.memtable_bytes_max <= options.memtables_bytes_max
    assert options.graphs_bytes_max == 13 * MIB
    assert options.graph_build_bytes_max == 64 * MIB
    assert options.build.sample_bytes_max == 8 * MIB
    assert selections_bytes_within(256 * MIB) == 16 * MIB
    assert options.compaction.build_bytes_max == 64 * MIB


def test_a_large_limit_loosens_nothing_but_what_all_indexes_share() -> None:
    options = options_within(2**40)
    assert options.memtable_bytes_max == MAINTENANCE_OPTIONS.memtable_bytes_max
    assert options.build == MAINTENANCE_OPTIONS.build
    assert options.compaction == MAINTENANCE_OPTIONS.compaction


def test_segments_whose_merge_does_not_fit_stay_as_they_are() -> None:
    def segments_left(build_bytes_max: int) -> int:
        compaction = CompactionOptions(build_bytes_max=build_bytes_max)
        index = new_database(MaintenanceOptions(graph_rows_min=0, build=BUILD, compaction=compaction)).create(
            definition_of(1)
        )
        for first_id in (0, 600):
            records = {
                f"{id_}": PlainRecord((1.0,), {}, {"tags": [f"{id_ * 10 + tag}" for tag in range(10)]})
                for id_ in range(first_id, first_id + 600)
            }
            index.write(UpsertRecords("n", batch(records)))
            index.maintenance.flush()
        index.maintenance.settle()
        return index.report().segments

    # 200 bytes a row, 60 a term, and 14 for each row that has one.
    needed_bytes = 1200 * (200 + 10 * (60 + 14) + 14) + 2 * 60
    assert [segments_left(needed_bytes + more) for more in (0, -1)] == [1, 2]


def test_a_graph_is_built_only_where_its_build_fits() -> None:
    rows = clustered(1200, 24)
    assert searched_index(rows, graph_rows_min=1000).report().graphs == 1
    assert searched_index(rows, graph_rows_min=1000, graph_build_bytes_max=100_000).report().graphs == 0


def test_a_tick_flushes_the_largest_indexes_until_the_rest_fits() -> None:
    flushes: list[Work] = []
    database = new_database(MaintenanceOptions(memtables_bytes_max=MIB, build=BUILD), flush_later=flushes.append)
    for number, row_count in enumerate((400, 3000, 1000)):
        definition = msgspec.structs.replace(definition_of(16), name=f"i{number}", index_id=str(number))
        write(database.create(definition), clustered(row_count, 16))
    database.tick()
    assert len(flushes) == 1
    flushes.pop()()
    reports = {each.name: each for each in database.report().indexes}
    assert [reports[name].flushed_lsn for name in ("i0", "i1", "i2")] == [0, 1, 0]
    database.tick()
    assert flushes == []
    database.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what memory is a process's own")
def test_four_times_as_much_as_the_limit_is_written_and_searched_within_it(tmp_path: Path) -> None:
    limit_bytes = 128 * MIB
    script = Path(__file__).with_name("more_than_memory.py")
    command = [sys.executable, str(script), str(tmp_path / "data"), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    peak_bytes = int(done.stdout)
    assert peak_bytes < limit_bytes
