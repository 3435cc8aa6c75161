"""Files of graphs."""

import pytest

from pinyon.engine.database import Database
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import UnavailableError
from pinyon.testing.simulated_disk import SimulatedDisk
from tests.unit.engine.searched_index import clustered, definition_of, write

SEGMENTS = "indexes/1/segments"


def test_a_disk_that_is_full_keeps_no_part_of_a_graph() -> None:
    disk = SimulatedDisk()
    index = Database(
        disk,
        new_salt=iter(number.to_bytes(16, "little") for number in range(10)).__next__,
        log_file_bytes_max=2**30,
        maintenance_options=MaintenanceOptions(graph_rows_min=0, build=BuildOptions(dedicated_rows_min=500)),
    ).create(definition_of(16))
    write(index, clustered(1200, 16))
    index.maintenance.settle()
    (live,) = index._state.store.segments.values()
    before = disk.list_directory(SEGMENTS)
    disk.free_bytes = 50_000
    with pytest.raises(UnavailableError, match="no space left on device"):
        index.maintenance.recall.build_graph(live)
    assert disk.list_directory(SEGMENTS) == before
    disk.free_bytes = None
    index.maintenance.recall.build_graph(live)
    assert index.report().graphs == 1
