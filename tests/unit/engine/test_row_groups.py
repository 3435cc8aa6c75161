"""Where rows are in a group, and which of them died when: of blocks and of segments, in any order."""

import numpy as np
import pytest

from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.engine.row_groups import Source, alive_rows, group_of
from pinyon.model.record import RecordBatch
from tests.unit.engine.searched_index import definition_of, new_database

ROWS_OF_A_SOURCE = 30


@pytest.fixture
def index() -> Index:
    return new_database(MaintenanceOptions(graph_rows_min=0)).create(definition_of(2))


def write(index: Index, namespace: str, first_id: int) -> None:
    ids = [f"{first_id + number}" for number in range(ROWS_OF_A_SOURCE)]
    index.write(UpsertRecords(namespace, RecordBatch(ids, np.ones((len(ids), 2), np.float32), None, None)))


def test_the_rows_that_died_between_two_moments_are_told_once_and_when(index: Index) -> None:
    for first_id in (0, ROWS_OF_A_SOURCE):
        write(index, "a", first_id)  # Lest the rows of "n" begin at 0.
        write(index, "n", first_id)
        index.maintenance.flush()
    write(index, "n", 2 * ROWS_OF_A_SOURCE)
    found = index._state.namespaces.by_name["n"]
    assert found.memtable is not None
    ranges: list[tuple[Source, int, int]] = [(part.live, part.rows.start, part.rows.stop) for part in found.parts]
    ranges += [(block, 0, block.row_count) for block in found.memtable.blocks.values()]
    assert sorted(start for _, start, _ in ranges) == [0, ROWS_OF_A_SOURCE, ROWS_OF_A_SOURCE]

    rng = np.random.default_rng(1)
    died_at: dict[str, int] = {}
    moments = []
    for _ in range(4):
        moments.append(index.lsn)
        for id_ in rng.permutation(3 * ROWS_OF_A_SOURCE)[:10].astype(str).tolist():
            died_at.setdefault(id_, index.write(DeleteRecords("n", [id_])))

    # Those that are dead at the first of these moments are not in the group.
    rows = [alive_rows(source, start, stop, moments[1]) for source, start, stop in ranges]
    group = group_of("n", [source for source, _, _ in ranges], rows)
    group = group.reordered(rng.permutation(len(group)))
    ids = group.ids(0, len(group))
    assert {*ids} == {f"{number}" for number in range(90)} - {id_ for id_, lsn in died_at.items() if lsn <= moments[1]}
    for after, until in [(1, 1), (1, 2), (2, 3), (1, 3)]:
        told: dict[str, int] = {}
        for source in group.by_source():
            positions, deaths = source.died(moments[after], moments[until])
            assert not told.keys() & {ids[position] for position in positions}
            told |= {ids[position]: int(lsn) for position, lsn in zip(positions, deaths, strict=True)}
        assert told == {id_: lsn for id_, lsn in died_at.items() if moments[after] < lsn <= moments[until]}
        assert bool(told) == (after < until)
