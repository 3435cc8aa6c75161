"""Older versions of records are found in segments while others read, wherever the records move meanwhile."""

from collections.abc import Callable

import pytest

from pinyon.engine import older_versions
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, Operation, PatchRecords, SetMetadata, UpsertRecords
from pinyon.protobuf.struct import encode_metadata
from pinyon.segment.segment import Segment
from pinyon.testing.engine_model import EngineModel, PlainRecord, batch, plain_record
from tests.unit.engine.searched_index import definition_of, new_database

IDS = [*"abcdefx"]

WRITES = pytest.mark.parametrize(
    "write",
    [
        UpsertRecords("n", batch({id_: PlainRecord((2,)) for id_ in "bdfx"})),
        PatchRecords("n", batch({id_: PlainRecord((2,)) for id_ in "bdfx"})),
        SetMetadata("n", [*"bdfx"], encode_metadata({"k": "v"})),
        DeleteRecords("n", [*"bdbfx"]),
        DeleteRecords("n", IDS),
        DeleteNamespace("n"),
    ],
    ids=lambda write: type(write).__name__,
)


def written() -> tuple[Index, EngineModel]:
    """An index with two records in each of two segments, and two in memory."""
    index = new_database(MaintenanceOptions()).create(definition_of(1))
    model = EngineModel()
    for ids in ("ab", "cd", "ef"):
        index.maintenance.flush()
        operation = UpsertRecords("n", batch({id_: PlainRecord((1,)) for id_ in ids}))
        index.write(operation)
        model.apply(operation)
    return index, model


def check(index: Index, model: EngineModel) -> None:
    view, found = index.read("n", IDS)
    assert {record.id: plain_record(record) for record in found} == model.records("n")
    assert index.list_ids("n", "", None, 10)[1] == sorted(model.records("n"))
    assert view.record_count == len(model.records("n"))
    assert index.record_counts()[1] == model.record_counts()


def flush(index: Index) -> None:
    index.maintenance.flush()


def settle(index: Index) -> None:
    index.maintenance.settle()


@WRITES
def test_segments_are_not_looked_into_while_readers_wait(write: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    index, model = written()
    is_locked = []
    find = Segment.find

    def watched(*arguments: object) -> object:
        is_locked.append(index._state.lock.locked())
        return find(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "find", watched)
        index.write(write)
    assert not any(is_locked)
    assert bool(is_locked) == (not isinstance(write, DeleteNamespace))
    model.apply(write)
    check(index, model)


@WRITES
@pytest.mark.parametrize("move", [flush, settle])
def test_records_are_found_where_they_moved_meanwhile(
    write: Operation, move: Callable[[Index], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, model = written()
    find = older_versions.OlderVersions.find
    waiting = [move]

    def moving(*arguments: object) -> None:
        find(*arguments)  # type: ignore[arg-type]
        if waiting:
            waiting.pop()(index)

    with monkeypatch.context() as patch:
        patch.setattr(older_versions.OlderVersions, "find", moving)
        index.write(write)
    model.apply(write)
    check(index, model)
    index.maintenance.settle()
    check(index, model)


@pytest.mark.parametrize("ids_at_once", [1, 2, 100])
def test_ids_are_looked_for_a_few_at_a_time(ids_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(older_versions, "_IDS_AT_ONCE", ids_at_once)
    index, _ = written()
    namespace = index._state.namespaces.by_name["n"]
    older = older_versions.OlderVersions([*"fdcadx"], namespace.memtables)
    assert older.ids_in_memory == ["f"]
    assert not older.covers(namespace.parts)
    older.find(namespace.memtables, namespace.parts)
    assert older.covers(namespace.parts)
    found = [part.live.segment.ids(older.rows[part.live]) for part in namespace.parts]
    assert sorted(map(sorted, found)) == [["a"], ["c", "d"]]
