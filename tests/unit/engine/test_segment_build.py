"""What a dedicated segment is built of: which fields it indexes, and how much metadata is read at a time."""

from collections.abc import Sequence

import numpy as np
import pytest

from pinyon.engine import segment_build
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.memtable import Memtable
from pinyon.engine.operations import CreateNamespace, UpsertRecords
from pinyon.engine.row_groups import RowGroup, group_of
from pinyon.engine.segment_build import BuildOptions, build
from pinyon.model.record import Metadata, RecordBatch
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch
from pinyon.testing.stored_filters import encoded_column
from tests.unit.engine.searched_index import clustered, definition_of, new_database


def group_with(records: Sequence[Metadata]) -> RowGroup:
    memtable = Memtable(2)
    ids = [f"{row}" for row in range(len(records))]
    memtable.upsert(RecordBatch(ids, clustered(len(ids), 2), None, encoded_column(records)), 1)
    blocks = list(memtable.blocks.values())
    return group_of("n", blocks, [np.arange(block.row_count) for block in blocks])


@pytest.mark.parametrize(
    ("of_namespace", "indexed"), [(None, [True, False]), (("b",), [False, True]), ((), [False, False])]
)
def test_the_fields_that_a_namespace_declares_are_indexed(
    of_namespace: tuple[str, ...] | None, indexed: list[bool]
) -> None:
    group = group_with([{"a": float(row), "b": float(row)} for row in range(600)])
    definition = definition_of(2, filterable_fields=("a",))
    storage, options = MemoryStorage(), BuildOptions(dedicated_rows_min=500)
    live = build(storage, "segment", 1, [group], definition, options, of_namespace).live
    assert live.structures is not None
    assert [live.structures.columns.is_indexed(field) for field in ("a", "b")] == indexed


def test_flushed_and_merged_segments_index_what_their_namespace_declares() -> None:
    database = new_database(MaintenanceOptions(graph_rows_min=0, build=BuildOptions(dedicated_rows_min=500)))
    index = database.create(definition_of(2, filterable_fields=("a",)))
    index.write(CreateNamespace("n", ("b",)))
    for first_id in (0, 600):
        records = {
            f"{id_}": PlainRecord((1.0, 2.0), {}, {"a": 1.0, "b": 2.0}) for id_ in range(first_id, first_id + 600)
        }
        for name in ("n", "other"):
            index.write(UpsertRecords(name, batch(records)))
        index.maintenance.flush()
    for segment_count in (4, 2):
        assert index.report().segments == segment_count
        for name, indexed in (("n", ["b"]), ("other", ["a"])):
            for part in index.read(name)[0].parts:
                assert part.live.structures is not None
                assert list(part.live.structures.columns.fields) == indexed
        index.maintenance.settle()


@pytest.mark.parametrize("text_bytes", [0, 2000])
def test_metadata_is_read_some_bytes_at_a_time_and_some_rows(text_bytes: int) -> None:
    group = group_with([{"n": float(row), "text": "x" * text_bytes} for row in range(20_000)])
    chunks = list(segment_build._metadata_chunks(group))
    assert max(map(len, chunks)) <= 16_384
    assert max(len(chunk.data) for chunk in chunks) < 2 * 2**20 + 1024 * (text_bytes + 100)
    assert b"".join(chunk.data for chunk in chunks) == bytes(group.metadata(0, len(group)).data)
    assert sum(map(len, chunks)) == 20_000
