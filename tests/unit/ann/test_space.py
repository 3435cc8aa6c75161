"""In the space, goodness orders rows as the metric does, and a graph's angles do too."""

import numpy as np
import pytest

from pinyon.ann.exact import exact_goodness
from pinyon.ann.space import Space
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s

MAGNITUDES = [1e-30, 1e-3, 1.0, 1e15, 1e30]


def vectors(seed: int, count: int, magnitude: float) -> Float32s:
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0, 0.5, (count, 1))
    return (rng.standard_normal((count, 12)) * lengths * magnitude).astype(np.float32)


def space_of(metric: Metric, rows: Float32s) -> Space:
    return Space(metric, rows.shape[1], float(np.linalg.norm(rows.astype(np.float64), axis=1).max()))


def is_same_order(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(np.argsort(one), np.argsort(other))


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("query_share", [0.1, 1, 10])
def test_goodness_orders_rows_as_the_metric_does(metric: Metric, magnitude: float, query_share: float) -> None:
    rows, query = vectors(1, 30, magnitude), vectors(2, 1, magnitude * query_share)[0]
    space = space_of(metric, rows)
    moved, moved_query = space.rows(rows).astype(np.float64), space.query(query).astype(np.float64)
    assert moved.shape == rows.shape
    assert np.linalg.norm(moved, axis=1).max() <= 1.0001
    goodness = moved @ moved_query
    if metric is Metric.EUCLIDEAN:
        goodness = 2 * goodness - np.vecdot(moved, moved)
    assert is_same_order(goodness, exact_goodness(rows, query, metric))


@pytest.mark.parametrize("metric", Metric)
def test_nearest_in_a_graph_is_nearest_by_the_metric(metric: Metric) -> None:
    rows, query = vectors(1, 30, 3.0), vectors(2, 1, 2.0)[0]
    space = space_of(metric, rows)
    moved, moved_query = space.graph_rows(rows), space.graph_query(query)
    assert moved.shape == (30, space.graph_width)
    assert moved_query.shape == (space.graph_width,)
    if metric is not Metric.EUCLIDEAN:
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)
    squares = ((moved.astype(np.float64) - moved_query) ** 2).sum(axis=1)
    assert is_same_order(-squares, exact_goodness(rows, query, metric))


@pytest.mark.parametrize("metric", Metric)
def test_zeros_stay_zeros(metric: Metric) -> None:
    rows = np.zeros((3, 4), np.float32)
    for space in (Space(metric, 4, 0.0), Space(metric, 4, 2.0)):
        assert not space.rows(rows).any()
        assert not space.query(rows[0]).any()
        assert np.isfinite(space.graph_rows(rows)).all()
    assert space.rows(rows[:0]).shape == (0, 4)


def test_a_query_from_far_away_stays_finite() -> None:
    space = Space(Metric.EUCLIDEAN, 2, 1e-30)
    query = space.query(np.array([3e30, -4e30], np.float32))
    assert np.isfinite(query).all()
    np.testing.assert_allclose(query / np.linalg.norm(query), [0.6, -0.8], rtol=1e-5)
