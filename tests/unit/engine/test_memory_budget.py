"""A memory limit: how it is shared out, and that indexes keep to it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pinyon.engine.background import Work
from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions
from pinyon.engine.memory_budget import options_within
from pinyon.engine.segment_build import BuildOptions
from tests.unit.engine.searched_index import clustered, definition_of, new_database, searched_index, write

MIB = 1024 * 1024
BUILD = BuildOptions(dedicated_rows_min=500)


def test_shares_of_a_small_limit() -> None:
    options = options_within(256 * MIB)
    assert options.memtables_bytes_max == 52 * MIB
    assert 3 * options.memtable_bytes_max <= options.memtables_bytes_max
    assert options.graph_build_bytes_max == 64 * MIB
    assert options.build.sample_bytes_max == 8 * MIB
    assert 100_000 < options.compaction.segment_rows_max < 500_000


def test_a_large_limit_loosens_nothing_but_what_all_indexes_share() -> None:
    options = options_within(2**40)
    assert options.memtable_bytes_max == MAINTENANCE_OPTIONS.memtable_bytes_max
    assert options.build == MAINTENANCE_OPTIONS.build
    assert options.compaction == MAINTENANCE_OPTIONS.compaction


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
