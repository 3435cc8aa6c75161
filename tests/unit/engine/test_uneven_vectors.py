"""Vectors far from zero, or one that is far from all others, cost searches neither recall nor effort."""

from typing import NamedTuple

import numpy as np
import pytest

from pinyon.ann.exact import exact_goodness
from pinyon.ann.quantised import training_rows
from pinyon.engine.part import LiveSegment
from pinyon.engine.part_efforts import scored_count
from pinyon.engine.structure_verification import verify_structures
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s
from tests.unit.engine.searched_index import clustered, definition_of, plan, searched_index

ROWS = 3000
DIMENSION = 128
OUTLIER = int(training_rows(ROWS, seed=1)[8])
"""A row of the sample by which the space is chosen."""


class Vectors(NamedTuple):
    metric: Metric
    rows: Float32s
    queries: Float32s
    effort_max: int = 140


def _noise(row_count: int, seed: int) -> Float32s:
    noise: Float32s = np.random.default_rng(seed).standard_normal((row_count, DIMENSION), dtype=np.float32)
    return noise


def _descriptors(row_count: int, seed: int) -> Float32s:
    """Integers from 0 to 218, many of them small, as descriptors of images have."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).gamma(0.6, 45, (60, DIMENSION))
    numbers = centres[rng.integers(0, len(centres), row_count)] * rng.gamma(3, 1 / 3, (row_count, DIMENSION))
    descriptors: Float32s = np.rint(numbers + rng.gamma(0.4, 15, numbers.shape)).clip(0, 218).astype(np.float32)
    return descriptors


def _with_outlier(times: float, row: int | slice = OUTLIER) -> Float32s:
    rows = clustered(ROWS, DIMENSION)
    rows[row] *= times
    return rows


CASES = {
    "far from zero": Vectors(Metric.EUCLIDEAN, 3000 + _noise(ROWS, 1), 3000 + _noise(60, 2), effort_max=400),
    "descriptors": Vectors(Metric.EUCLIDEAN, _descriptors(ROWS, 1), _descriptors(60, 2)),
    "one far away": Vectors(Metric.EUCLIDEAN, _with_outlier(100), clustered(60, DIMENSION, 2)),
    "one very far away": Vectors(Metric.EUCLIDEAN, _with_outlier(1e6), clustered(60, DIMENSION, 2)),
    "one longer": Vectors(Metric.DOTPRODUCT, _with_outlier(100), clustered(60, DIMENSION, 2)),
    "thirty longer": Vectors(Metric.DOTPRODUCT, _with_outlier(100, slice(0, 30)), clustered(60, DIMENSION, 2)),
    "one much longer": Vectors(Metric.DOTPRODUCT, _with_outlier(1e6), clustered(60, DIMENSION, 2)),
}


@pytest.fixture(scope="module", params=CASES)
def searched(request: pytest.FixtureRequest) -> tuple[Vectors, LiveSegment]:
    vectors = CASES[request.param]
    index = searched_index(vectors.rows, vectors.metric, graph_rows_min=1000)
    (part,) = index.read("n")[0].parts
    return vectors, part.live


def _found(live: LiveSegment, structure: str, query: Float32s, effort_max: int) -> Int64s:
    """What a structure finds with the effort for a recall a little above the one that is promised."""
    effort = live.efforts[structure].effort_for(0.98)
    assert effort is not None, "only looking at all rows would do"
    assert effort.pool <= effort_max
    assert live.structures is not None
    if structure == "graph":
        assert live.structures.graph is not None
        return live.structures.graph.search(query, effort.pool)
    return live.structures.quantised.candidates(query, effort.pool, probes=effort.probes).rows


@pytest.mark.parametrize("structure", ["quantised", "graph"])
def test_the_nearest_are_found_without_looking_at_all(searched: tuple[Vectors, LiveSegment], structure: str) -> None:
    vectors, live = searched
    recalls = []
    for query in vectors.queries:
        nearest = np.argsort(-exact_goodness(vectors.rows, query, vectors.metric), kind="stable")[:10]
        found = [int(id_) for id_ in live.segment.ids(_found(live, structure, query, vectors.effort_max))]
        recalls.append(np.isin(nearest, found).mean())
    assert np.mean(recalls) >= 0.97


def test_such_a_segment_passes_its_verification(searched: tuple[Vectors, LiveSegment]) -> None:
    vectors, live = searched
    verify_structures(live.segment, definition_of(DIMENSION, vectors.metric))


@pytest.mark.parametrize("metric", [Metric.EUCLIDEAN, Metric.DOTPRODUCT])
def test_those_that_are_far_away_are_found_where_they_are_the_best(metric: Metric) -> None:
    rows, far = clustered(ROWS, DIMENSION), range(0, ROWS, 200)
    rows[far] *= 100
    index = searched_index(rows, metric, graph_rows_min=1000)
    view, _ = index.read("n")
    for row in far:
        truth = np.argsort(-exact_goodness(rows, rows[row], metric), kind="stable")
        assert index.search(view, plan(rows[row], metric))[0].id == str(truth[0])


def test_those_that_are_far_away_take_no_place_of_those_that_a_graph_finds() -> None:
    index = searched_index(_with_outlier(100, slice(0, 45)), Metric.EUCLIDEAN, graph_rows_min=1000)
    structures = index.read("n")[0].parts[0].live.structures
    assert structures is not None
    assert structures.graph is not None
    assert [scored_count(structures.graph, pool, top_k=10) for pool in (100, 400)] == [45 + 40, 45 + 100]
