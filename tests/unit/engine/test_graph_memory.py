"""What open graphs take in memory is bounded, and those that find no room are not missed."""

import gc

import msgspec
import pytest

from pinyon.ann.graph import open_bytes
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.filter.parser import parse
from pinyon.model.record import RecordBatch
from pinyon.storage.memory import MemoryStorage
from tests.unit.engine.searched_index import clustered, definition_of, plan

ROWS = clustered(1200, 16)
ROOM_FOR_ONE = 3 * open_bytes(1200) // 2


def database_over(storage: MemoryStorage, graphs_bytes_max: int) -> Database:
    return Database(
        storage,
        new_salt=iter(number.to_bytes(16, "little") for number in range(100)).__next__,
        log_file_bytes_max=2**30,
        maintenance_options=MaintenanceOptions(
            graph_rows_min=1000,
            graphs_bytes_max=graphs_bytes_max,
            build=BuildOptions(dedicated_rows_min=500),
        ),
    )


def create(database: Database, name: str) -> Index:
    return database.create(msgspec.structs.replace(definition_of(16), name=name, index_id=name))


def write(index: Index, namespace: str) -> None:
    ids = [f"{row}" for row in range(len(ROWS))]
    index.write(UpsertRecords(namespace, RecordBatch(ids, ROWS, None, None)))


def open_graphs(database: Database) -> int:
    return sum(index.graph_memory_bytes for index in database.report().indexes) // open_bytes(1200)


@pytest.fixture
def full() -> MemoryStorage:
    """A storage with an index that has two graphs."""
    storage = MemoryStorage()
    database = database_over(storage, 2 * ROOM_FOR_ONE)
    index = create(database, "i")
    for namespace in ("a", "b"):
        write(index, namespace)
    index.maintenance.settle()
    assert (index.report().graphs, open_graphs(database)) == (2, 2)
    database.close()
    return storage


@pytest.mark.parametrize(("graphs_bytes_max", "opened"), [(2 * ROOM_FOR_ONE, 2), (ROOM_FOR_ONE, 1), (1, 0)])
def test_as_many_graphs_are_opened_as_there_is_room_for(
    full: MemoryStorage, graphs_bytes_max: int, opened: int
) -> None:
    database = database_over(full, graphs_bytes_max)
    index = database.index("i")
    index.maintenance.settle()
    assert (index.report().graphs, open_graphs(database)) == (2, opened)
    assert index.report().is_settled
    for namespace in ("a", "b"):
        for row in (3, 700):
            found = index.search(index.read(namespace)[0], plan(ROWS[row]))
            assert (len(found), found[0].id) == (10, f"{row}")


def test_a_graph_is_built_only_where_it_can_be_opened() -> None:
    database = database_over(MemoryStorage(), ROOM_FOR_ONE)
    index = create(database, "i")
    for namespace in ("a", "b"):
        write(index, namespace)
    index.maintenance.settle()
    assert (index.report().graphs, open_graphs(database)) == (1, 1)


def test_the_room_of_a_graph_that_goes_is_used_for_another(full: MemoryStorage) -> None:
    database = database_over(full, ROOM_FOR_ONE)
    index = database.index("i")
    index.maintenance.settle()
    (gone,) = (
        live.segment.namespaces[0].name
        for live in index._state.store.segments.values()
        if live.structures is not None and live.structures.graph is not None
    )
    index.write(DeleteNamespace(gone))
    index.maintenance.flush()
    index.maintenance.settle()
    assert (index.report().graphs, open_graphs(database)) == (1, 1)


def test_indexes_share_the_room() -> None:
    database = database_over(MemoryStorage(), ROOM_FOR_ONE)
    for name in ("first", "second"):
        index = create(database, name)
        write(index, "n")
        index.maintenance.settle()
    assert [index.graphs for index in database.report().indexes] == [1, 0]


def test_a_graph_that_was_asked_with_a_filter_takes_nothing_once_its_segment_is_gone(full: MemoryStorage) -> None:
    database = database_over(full, 5 * open_bytes(1200) // 2)
    index = database.index("i")
    index.maintenance.settle()
    view = index.read("a")[0]
    index.search(view, plan(ROWS[0], filter=parse({"a": 1})))
    memory = index.maintenance.recall._graph_memory
    assert not memory.has_room(1200)
    del view
    gc.collect()
    gc.disable()
    try:
        index.write(DeleteNamespace("a"))
        index.maintenance.settle()
        assert memory.has_room(1200)
    finally:
        gc.enable()
