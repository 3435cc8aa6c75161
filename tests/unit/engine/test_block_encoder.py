"""Full blocks that are searched get codes, and what searches find with them is what was written."""

from typing import Any

import numpy as np
import pytest

from pinyon.ann.quantised import Quantised
from pinyon.ann.row_codes import RowCodes
from pinyon.engine.background import Work
from pinyon.engine.block import block_rows
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.engine.search_cost import search_cost_us
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column
from pinyon.model.record import Float32s, RecordBatch, SparseVector
from pinyon.protobuf.struct import encode_metadata
from tests.unit.engine.searched_index import clustered, definition_of, new_database, plan, write

DIMENSION = 256
FULL = block_rows(DIMENSION)
ROWS = clustered(FULL + 100, DIMENSION)
QUERIES = clustered(20, DIMENSION, seed=5)


class Later:
    """Work that is done when it is asked for."""

    def __init__(self) -> None:
        self.waiting: list[Work] = []

    def do(self) -> None:
        for work in self.waiting:
            work()
        self.waiting = []


def new_index(later: Later, dimension: int = DIMENSION) -> Index:
    return new_database(MaintenanceOptions(), run_later=later.waiting.append).create(definition_of(dimension))


def found(index: Index, query: Float32s, **changes: Any) -> set[str]:
    return {match.id for match in index.search(index.read("n")[0], plan(query, **changes))}


def recall(index: Index, **changes: Any) -> float:
    pairs = [(found(index, each, **changes), found(index, each, target_recall=1.0, **changes)) for each in QUERIES]
    return float(np.mean([len(some & all_) / len(all_) for some, all_ in pairs]))


def codes(index: Index) -> list[RowCodes | None]:
    return [block.block.codes for memtable in index.read("n")[0].memtables for block in memtable.blocks]


def encoded(later: Later, rows: Float32s = ROWS) -> Index:
    index = new_index(later)
    write(index, rows)
    found(index, QUERIES[0])
    later.do()
    return index


def test_a_full_block_is_encoded_when_it_is_searched_and_not_before() -> None:
    later = Later()
    index = new_index(later)
    write(index, ROWS)
    index.read("n")
    assert later.waiting == []
    for query in QUERIES:
        found(index, query)
    assert len(later.waiting) == 1
    later.do()
    first, last = codes(index)
    assert isinstance(first, RowCodes)
    assert last is None
    assert recall(index) >= 0.99


def test_short_vectors_are_not_encoded() -> None:
    later = Later()
    index = new_index(later, dimension=32)
    write(index, clustered(block_rows(32), 32))
    found(index, clustered(1, 32)[0])
    assert later.waiting == []


def test_what_codes_choose_is_alive() -> None:
    later = Later()
    index = encoded(later)
    index.write(DeleteRecords("n", [str(row) for row in range(0, FULL, 3)]))
    alive = {str(row) for row in range(len(ROWS)) if row % 3 or row >= FULL}
    for query in QUERIES:
        assert found(index, query) <= alive
    assert recall(index) >= 0.99
    index.write(DeleteRecords("n", [str(row) for row in range(len(ROWS) - 7)]))
    assert len(found(index, QUERIES[0])) == 7


def test_with_a_filter_all_rows_that_pass_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    index = new_index(later)
    metadata = bytes_column([encode_metadata({"half": row % 2}) for row in range(FULL)])
    index.write(UpsertRecords("n", RecordBatch([str(row) for row in range(FULL)], ROWS[:FULL], None, metadata)))
    found(index, QUERIES[0])
    later.do()

    def candidates(*_: object, **__: object) -> None:
        raise AssertionError("what a filter leaves near a query, codes cannot tell")

    monkeypatch.setattr(Quantised, "candidates", candidates)
    assert recall(index, filter=parse({"half": 1})) == 1.0


@pytest.mark.parametrize("top_k", [10, 100])
def test_rows_that_are_all_the_same_are_results_all_the_same(top_k: int) -> None:
    index = encoded(Later(), np.ones((FULL, DIMENSION), np.float32))
    assert len(found(index, np.ones(DIMENSION, np.float32), top_k=top_k)) == top_k


def test_what_no_codes_are_used_for_asks_for_none() -> None:
    later = Later()
    index = new_index(later)
    write(index, ROWS)
    sparse = SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))
    found(index, QUERIES[0], sparse=sparse)
    found(index, QUERIES[0], filter=parse({"a": 1}))
    found(index, QUERIES[0], required_indices=np.array([1], np.uint32))
    found(index, QUERIES[0], target_recall=1.0)
    assert later.waiting == []


def test_a_closed_index_encodes_no_more() -> None:
    later = Later()
    index = new_index(later)
    write(index, ROWS)
    found(index, QUERIES[0])
    blocks = codes(index)
    index.close()
    later.do()
    assert blocks == [None, None] == codes(index)


def test_a_view_from_before_a_block_was_full_does_not_see_what_came_later() -> None:
    later = Later()
    index = new_index(later)
    write(index, ROWS[: FULL - 10])
    view, _ = index.read("n")
    index.write(UpsertRecords("n", RecordBatch([f"new {row}" for row in range(10)], ROWS[:10], None, None)))
    found(index, QUERIES[0])
    later.do()
    assert codes(index)[0] is not None
    assert not any(match.id.startswith("new") for match in index.search(view, plan(ROWS[0])))
    assert any(match.id.startswith("new") for match in index.search(index.read("n")[0], plan(ROWS[0])))


def test_every_row_finds_itself() -> None:
    index = encoded(Later())
    for row in range(0, FULL, 97):
        assert str(row) in found(index, ROWS[row])


def test_a_search_costs_less_with_codes() -> None:
    later = Later()
    index = new_index(later)
    write(index, ROWS)
    view, _ = index.read("n")
    before_us = search_cost_us(view, plan(QUERIES[0]))
    index.search(view, plan(QUERIES[0]))
    later.do()
    assert search_cost_us(view, plan(QUERIES[0])) < before_us / 2
    assert search_cost_us(view, plan(QUERIES[0], target_recall=1.0)) == before_us
