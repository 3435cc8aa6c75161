"""What is asked for the nearest rows of a part: what finds them in the least time."""

from dataclasses import replace

import numpy as np
import pytest

from pinyon.ann.effort import Effort, EffortTable, Measurement
from pinyon.engine.index import Index
from pinyon.engine.operations import DeleteRecords
from pinyon.engine.part_efforts import graph_count, quantised_effort, scored_about, structure_for
from pinyon.engine.segment_build import BuildOptions
from pinyon.filter.parser import parse
from tests.unit.engine.searched_index import plan, searched_index

ROWS = np.random.default_rng(1).standard_normal((5000, 24), dtype=np.float32)


@pytest.fixture(scope="module")
def with_graph() -> Index:
    return searched_index(ROWS, graph_rows_min=1)


@pytest.fixture(scope="module")
def without_graph() -> Index:
    return searched_index(ROWS)


def structure(index: Index, row_count: int = len(ROWS), *, top_k: int = 10, target_recall: float = 0.9) -> str | None:
    """What is asked where so many rows may be results: by a filter, where they are fewer than there are."""
    (part,) = index.read("n")[0].parts
    asked = plan(ROWS[0], top_k=top_k, target_recall=target_recall)
    return structure_for(part, asked, row_count, has_filter=row_count < len(ROWS))


def test_a_graph_is_asked_where_there_is_one(with_graph: Index, without_graph: Index) -> None:
    assert structure(with_graph) == "graph"
    assert structure(without_graph) == "quantised"


def test_a_filter_that_leaves_few_rows_leaves_too_little_of_a_graph(with_graph: Index) -> None:
    assert structure(with_graph, 4000) == structure(with_graph, 1667) == "graph"
    assert structure(with_graph, 1666) == "quantised"


def test_a_graph_of_which_few_rows_are_alive_is_not_asked_and_costs_more_until_then() -> None:
    index = searched_index(ROWS, graph_rows_min=1)
    (part,) = index.read("n")[0].parts
    asked = [graph_count(part, 100, None)]
    for count in (3333, 3334):
        index.write(DeleteRecords("n", [str(row) for row in range(count)]))
        assert structure(index) == ("graph" if count == 3333 else "quantised")
        asked.append(graph_count(part, 100, None))
    assert asked == [100, 299, 300]
    wanted = {match.id for match in index.search(index.read("n")[0], plan(ROWS[4000], target_recall=1.0))}
    found = {match.id for match in index.search(index.read("n")[0], plan(ROWS[4000], target_recall=0.9))}
    assert len(found & wanted) >= 9


def test_few_rows_are_all_scored(with_graph: Index) -> None:
    assert structure(with_graph, 1501) == "quantised"
    assert structure(with_graph, 1500) is None
    assert structure(with_graph, 1601, top_k=100) == "quantised"
    assert structure(with_graph, 1600, top_k=100) is None
    assert structure(with_graph, target_recall=1.0) is None


def test_of_longer_vectors_fewer_are_all_scored(with_graph: Index) -> None:
    (part,) = with_graph.read("n")[0].parts
    wide = plan(np.ones(512, np.float32), target_recall=0.9)  # 2 KiB each.
    assert structure_for(part, wide, 1025, has_filter=True) == "quantised"
    assert structure_for(part, wide, 1024, has_filter=True) is None
    asked = plan(np.ones(20_000, np.float32), target_recall=0.9)
    assert structure_for(part, asked, 513, has_filter=True) == "quantised"
    assert structure_for(part, asked, 512, has_filter=True) is None


def test_a_graph_that_finds_too_little_is_not_asked(with_graph: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = with_graph.read("n")[0].parts
    reached = part.live.reach("quantised", 0.9)
    monkeypatch.setattr(type(part.live), "reach", lambda _, name, *__: reached._replace(is_reached=name != "graph"))
    assert structure(with_graph) == structure(with_graph, 4000) == "quantised"
    monkeypatch.setattr(type(part.live), "reach", lambda *_: reached._replace(is_reached=False))
    assert structure(with_graph) is None


def test_rows_of_a_shared_segment_are_all_scored() -> None:
    index = searched_index(ROWS, build=BuildOptions(dedicated_rows_min=2 * len(ROWS)))
    assert structure(index) is None


def test_a_filter_takes_more_candidates_which_are_scored_as_far_as_needed(
    without_graph: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = without_graph.read("n")[0].parts
    table = EffortTable((Measurement(Effort(40, 3), 0.95, 0.0),))
    monkeypatch.setattr(part.live, "efforts", {"quantised": table})
    asked = plan(ROWS[0], target_recall=0.9)
    filtered = replace(asked, filter=parse({"a": 1}))
    assert quantised_effort(part, asked) == Effort(40, 3)
    assert quantised_effort(part, filtered) == Effort(640, 3)
    assert quantised_effort(part, replace(asked, top_k=100)) == Effort(400, 3)


@pytest.mark.parametrize(
    ("pool", "top_k", "target_recall", "count"),
    [(100, 10, 0.9, 100), (5000, 10, 0.9, 512), (5000, 100, 0.9, 1600), (5000, 10, 0.995, 5000)],
)
def test_of_a_large_pool_little_is_scored(pool: int, top_k: int, target_recall: float, count: int) -> None:
    assert scored_about(pool, plan(ROWS[0], top_k=top_k, target_recall=target_recall)) == count
