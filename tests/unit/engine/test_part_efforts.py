"""What is asked for the nearest rows of a part: what finds them in the least time."""

import numpy as np
import pytest

from pinyon.engine.index import Index
from pinyon.engine.part_efforts import structure_for
from pinyon.engine.segment_build import BuildOptions
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
    assert structure(with_graph, 4000) == structure(with_graph, 834) == "graph"
    assert structure(with_graph, 833) == "quantised"


def test_few_rows_are_all_scored(with_graph: Index) -> None:
    assert structure(with_graph, 513) == "quantised"
    assert structure(with_graph, 512) is None
    assert structure(with_graph, 700, top_k=700) is None
    assert structure(with_graph, target_recall=1.0) is None


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
