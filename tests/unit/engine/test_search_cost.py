"""What a search is told to cost before it is begun: what is brief is told from what is not, whichever way it goes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.search_cost import search_cost_us
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.structures import Structures
from pinyon.errors import NotBriefError
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column
from pinyon.model.record import RecordBatch, SparseVector
from pinyon.protobuf.struct import encode_metadata
from tests.unit.engine.searched_index import clustered, definition_of, new_database, plan

ROWS = 12_000
DIMENSION = 256
VECTORS = clustered(ROWS, DIMENSION)
FEW, MANY = parse({"number": {"$lt": 600}}), parse({"number": {"$lt": 3500}})


def filled(**options: Any) -> Index:
    index = new_database(MaintenanceOptions(**options)).create(definition_of(DIMENSION))
    metadata = bytes_column([encode_metadata({"number": row}) for row in range(ROWS)])
    index.write(UpsertRecords("n", RecordBatch([str(row) for row in range(ROWS)], VECTORS, None, metadata)))
    return index


def searched(**options: Any) -> Index:
    """With all that a pause brings, and with what a search reads at hand."""
    index = filled(**options)
    index.maintenance.settle()
    index.search(index.read("n")[0], plan(VECTORS[0], filter=MANY))
    return index


@pytest.fixture(scope="module")
def with_graph() -> Index:
    return searched(graph_rows_min=1000)


@pytest.fixture(scope="module")
def with_codes() -> Index:
    return searched(graph_rows_min=0)


def cost(index: Index, **changes: Any) -> float:
    return search_cost_us(index.read("n")[0], plan(VECTORS[0], **changes))


def test_structures_cost_less_than_all_rows(with_graph: Index, with_codes: Index) -> None:
    exact = cost(with_codes, target_recall=1.0)
    assert exact == cost(with_graph, target_recall=1.0) > ROWS * DIMENSION / 10_000
    assert cost(with_graph) < exact
    assert cost(with_codes) < exact
    assert cost(with_codes) != cost(with_graph)


def test_memory_that_was_not_flushed_is_scored_row_by_row() -> None:
    index = filled()
    unfiltered = cost(index)
    assert unfiltered == pytest.approx(cost(index, target_recall=1.0))
    assert cost(index, filter=FEW) > 2 * unfiltered


def test_shared_segments_are_scored_row_by_row_and_their_metadata_is_read() -> None:
    index = filled(build=BuildOptions(dedicated_rows_min=2 * ROWS))
    index.maintenance.flush()
    assert cost(index, filter=FEW) > 20 * cost(index)


@pytest.mark.parametrize("name", ["with_graph", "with_codes"])
def test_a_filter_costs_what_it_leaves(name: str, request: pytest.FixtureRequest) -> None:
    index = request.getfixturevalue(name)
    assert cost(index, filter=FEW) < cost(index, filter=MANY)
    assert cost(index, filter=parse({"number": 5})) < cost(index, filter=FEW)


def test_a_selection_that_is_kept_costs_nothing_more(with_codes: Index) -> None:
    condition = parse({"number": {"$lt": 9000}})
    before = cost(with_codes, filter=condition)
    with_codes.search(with_codes.read("n")[0], plan(VECTORS[0], filter=condition))
    assert cost(with_codes, filter=condition) < before


def test_more_results_cost_more(with_graph: Index) -> None:
    assert cost(with_graph, top_k=10) < cost(with_graph, top_k=100) < cost(with_graph, top_k=1000)


@pytest.mark.parametrize("is_flushed", [False, True])
def test_results_cost_what_is_returned(is_flushed: bool) -> None:
    index = new_database(MaintenanceOptions()).create(definition_of(DIMENSION))
    metadata = bytes_column([encode_metadata({"text": "x" * 10_000})] * 3)
    index.write(UpsertRecords("n", RecordBatch(["1", "2", "3"], VECTORS[:3], None, metadata)))
    if is_flushed:
        index.maintenance.flush()
    view, asked = index.read("n")[0], plan(VECTORS[0])
    plain = search_cost_us(view, asked)
    assert search_cost_us(view, replace(asked, include_metadata=True)) > plain + 10 * 900
    assert search_cost_us(view, replace(asked, include_values=True)) > plain + 10 * DIMENSION / 10


def test_every_source_costs_something() -> None:
    index = filled(build=BuildOptions(dedicated_rows_min=2 * ROWS))
    one = cost(index)
    index.maintenance.flush()
    index.write(UpsertRecords("n", RecordBatch(["new"], VECTORS[:1], None, None)))
    view = index.read("n")[0]
    assert (len(view.parts), len(view.memtables)) == (1, 1)
    assert cost(index) > one + 20


def test_what_was_not_read_yet_has_no_known_cost() -> None:
    index = filled(graph_rows_min=0)
    index.maintenance.settle()
    (part,) = index.read("n")[0].parts
    live = part.live
    live.structures = Structures(live.segment, index.definition)
    assert cost(index) == np.inf
    assert cost(index, filter=FEW) == np.inf
    index.search(index.read("n")[0], plan(VECTORS[0], filter=FEW))
    assert cost(index, filter=FEW) < np.inf
    assert cost(index, filter=parse({"no one has it": 5})) < np.inf
    for other in (
        {"text": "a"},
        {"number": {"$exists": True}},
        {"$or": [{"number": 1}, {"number": {"$in": ["b", "c"]}}]},
    ):
        assert cost(index, filter=parse(other)) == np.inf
    index.search(index.read("n")[0], plan(VECTORS[0], filter=parse({"number": "a"})))
    assert cost(index, filter=parse({"number": {"$in": ["b", "c"]}})) < np.inf


def test_the_recall_that_is_searched_for_is_what_is_priced(with_codes: Index) -> None:
    view, asked = with_codes.read("n")[0], plan(VECTORS[0])
    limit = 1.01 * search_cost_us(view, asked)
    with_codes.search(view, asked, cost_max_us=limit)
    watch = with_codes.maintenance.recall.watch
    for _ in range(200):
        watch.add(0.0, 0.97)
    with pytest.raises(NotBriefError):
        with_codes.search(view, asked, cost_max_us=limit)


def test_what_sparse_values_cost_is_not_known(with_graph: Index) -> None:
    some = SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))
    none = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
    assert cost(with_graph, sparse=some) == np.inf
    assert cost(with_graph, sparse=none) == cost(with_graph)
    assert cost(with_graph, required_indices=np.array([1], np.uint32)) == np.inf


def test_a_search_of_nothing_costs_nothing() -> None:
    index = new_database(MaintenanceOptions()).create(definition_of(DIMENSION))
    assert search_cost_us(index.read("n")[0], replace(plan(VECTORS[0]), include_metadata=True)) < 100
