"""In the space, goodness orders rows as the metric does, and a graph's angles do too."""

import numpy as np
import pytest

from pinyon.ann.exact import exact_goodness
from pinyon.ann.space import Space, long_rows
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.ann.clustered_vectors import space_of

NO_ROWS = np.zeros(0, np.int64)
MAGNITUDES = [1e-30, 1e-3, 1.0, 1e15, 1e30]


def vectors(seed: int, count: int, magnitude: float) -> Float32s:
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0, 0.5, (count, 1))
    return (rng.standard_normal((count, 12)) * lengths * magnitude).astype(np.float32)


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
    assert np.quantile(np.linalg.norm(moved, axis=1), 0.9) <= 1.0001
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
    for space in (space_of(metric, rows), Space(metric, 4, 2.0, rows[0], NO_ROWS)):
        assert not space.rows(rows).any()
        assert not space.query(rows[0]).any()
        assert np.isfinite(space.graph_rows(rows)).all()
    assert space.rows(rows[:0]).shape == (0, 4)


def test_a_query_from_far_away_stays_finite() -> None:
    space = Space(Metric.EUCLIDEAN, 2, 1e-30, np.zeros(2, np.float32), NO_ROWS)
    query = space.query(np.array([3e30, -4e30], np.float32))
    assert np.isfinite(query).all()
    np.testing.assert_allclose(query / np.linalg.norm(query), [0.6, -0.8], rtol=1e-5)


@pytest.mark.parametrize("offset", [3e3, -3e5, 1e38, 3e38])
def test_what_euclidean_rows_have_in_common_costs_no_digits(offset: float) -> None:
    step = float(np.spacing(np.float32(offset)))
    rows = (offset + vectors(1, 200, 10 * step).astype(np.float64)).astype(np.float32)
    space = space_of(Metric.EUCLIDEAN, rows)
    moved, query = space.rows(rows).astype(np.float64), space.query(rows[7]).astype(np.float64)
    true = (rows.astype(np.float64) - space.origin) / space.scale
    np.testing.assert_allclose(moved, true, rtol=1e-6, atol=1e-12)
    goodness = 2 * moved @ query - np.vecdot(moved, moved)
    truth = exact_goodness(rows, rows[7], Metric.EUCLIDEAN)
    assert is_same_order(np.round(goodness - goodness.max(), 6), np.round(truth / space.scale**2, 6))


@pytest.mark.parametrize("times", [100, 1e6, 1e30])
@pytest.mark.parametrize("metric", [Metric.DOTPRODUCT, Metric.EUCLIDEAN])
def test_one_row_far_away_leaves_the_others_where_they_are(metric: Metric, times: float) -> None:
    rows = np.random.default_rng(1).standard_normal((2000, 12), dtype=np.float32)
    alone, others = space_of(metric, rows), np.arange(2000) != 40
    assert alone.long_rows.tolist() == []
    rows[40] *= times
    space = space_of(metric, rows)
    assert space.long_rows.tolist() == [40]
    assert space.scale == pytest.approx(alone.scale, rel=0.1)
    np.testing.assert_allclose(space.origin, alone.origin, atol=0.1)
    assert np.isfinite(np.vecdot(space.rows(rows), space.rows(rows))).all()
    graph_rows = space.graph_rows(rows)
    if metric is Metric.DOTPRODUCT:
        np.testing.assert_allclose(np.linalg.norm(graph_rows, axis=1), 1, rtol=1e-5)
        assert graph_rows[others, -1].min() < 0.1


def test_rows_are_long_where_they_are_few_and_far_longer() -> None:
    squares = np.random.default_rng(1).lognormal(0, 0.2, 10_000)
    assert long_rows(squares).tolist() == []
    squares[100:160] = 1000
    assert long_rows(squares).tolist() == list(range(100, 160))
    squares[100:180] = 1000
    assert long_rows(squares).tolist() == []
    assert long_rows(np.array([1.0, 1000.0])).tolist() == []
    assert long_rows(np.zeros(1000)).tolist() == []
