"""Exact scores are exact, and the first pass never loses a row that the second would choose."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann import exact
from pinyon.model.batches import squared_norms
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s

FLOAT32_MAX = float(np.finfo(np.float32).max)
MAGNITUDES = [1e-38, 1e-30, 1e-20, 1e-13, 1e-8, 1.0, 1e8, 1e15, 1e19, 1e30, 1e38]


def plain_goodness(row: list[float], query: list[float], metric: Metric) -> float:
    if metric is Metric.EUCLIDEAN:
        return -math.fsum((a - b) ** 2 for a, b in zip(row, query, strict=True))
    dot = math.fsum(a * b for a, b in zip(row, query, strict=True))
    if metric is Metric.DOTPRODUCT:
        return dot
    scale = math.hypot(*row) * math.hypot(*query)
    return dot / scale if scale else 0.0


def plain_goodnesses(rows: Float32s, query: Float32s, metric: Metric) -> list[float]:
    return [plain_goodness(row, query.tolist(), metric) for row in rows.tolist()]


def random_rows(seed: int, count: int, dimension: int) -> Float32s:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("row_magnitude", MAGNITUDES)
@pytest.mark.parametrize("query_magnitude", MAGNITUDES)
def test_scores_are_right_over_the_whole_range_of_float32(
    metric: Metric, row_magnitude: float, query_magnitude: float
) -> None:
    rows = random_rows(1, 20, 6) * np.float32(row_magnitude)
    query = random_rows(2, 1, 6)[0] * np.float32(query_magnitude)
    expected = plain_goodnesses(rows, query, metric)
    found = exact.exact_goodness(rows, query, metric)
    largest = max(map(abs, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * largest)
    approximate = exact.goodness(rows, squared_norms(rows), query, metric)
    slack = exact.slack(float(squared_norms(rows).max()), query, metric) + 2.0**-22 * largest
    assert approximate.dtype == np.float32
    assert (np.abs(approximate - np.clip(expected, -FLOAT32_MAX, FLOAT32_MAX)) <= slack + 1e-45).all()


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("dimension", [1, 3, 100, 1536, 20_000])
def test_the_first_pass_stays_within_its_slack(metric: Metric, dimension: int) -> None:
    rows = np.abs(random_rows(3, 30, dimension))
    query = np.abs(random_rows(4, 1, dimension)[0])
    expected = exact.exact_goodness(rows, query, metric)
    approximate = exact.goodness(rows, squared_norms(rows), query, metric)
    slack = exact.slack(float(squared_norms(rows).max()), query, metric) + 2.0**-22 * float(np.abs(expected).max())
    assert (np.abs(approximate - expected) <= slack).all()


@pytest.mark.parametrize("metric", Metric)
def test_tiny_and_large_rows_and_zeros_stand_side_by_side(metric: Metric) -> None:
    rows = np.array([[0, 0], [1e-20, 2e-20], [2e-20, 1e-20], [1, 2]], np.float32)
    query = np.array([1e-20, 0], np.float32)
    approximate = exact.goodness(rows, squared_norms(rows), query, metric)
    np.testing.assert_allclose(approximate, plain_goodnesses(rows, query, metric), rtol=1e-6, atol=1e-45)


@pytest.mark.parametrize("metric", Metric)
def test_rows_of_all_lengths_are_each_within_their_own_slack(metric: Metric) -> None:
    rows = random_rows(7, 3 * len(MAGNITUDES), 6) * np.repeat(np.array(MAGNITUDES, np.float32), 3)[:, None]
    query = random_rows(2, 1, 6)[0]
    norms = squared_norms(rows)
    approximate = exact.goodness(rows, norms, query, metric)
    expected = np.array(plain_goodnesses(rows, query, metric))
    slacks = np.array([exact.slack(float(norm), query, metric) for norm in norms])
    assert (np.abs(approximate - np.clip(expected, -FLOAT32_MAX, FLOAT32_MAX)) <= slacks + 1e-45).all()


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize(("tiny_rows", "query_size"), [(slice(1), 1.0), (slice(None), 1.0), (slice(1), 1e-20)])
def test_of_many_rows_few_are_in_memory_as_float64_at_once(metric: Metric, tiny_rows: slice, query_size: float) -> None:
    rows = random_rows(8, 8192, 1024)
    query, norms = rows[-1] * np.float32(query_size), squared_norms(rows)
    rows[tiny_rows] *= np.float32(1e-20)
    norms[tiny_rows] *= 1e-40
    tracemalloc.start()
    exact.goodness(rows, norms, query, metric)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 3


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("dimension", [1, 5, 33, 1000])
def test_equal_rows_have_equal_scores_wherever_they_lie(metric: Metric, dimension: int) -> None:
    row, query = random_rows(5, 2, dimension)
    rows = random_rows(6, 101, dimension)
    rows[::3] = row
    assert len(set(exact.exact_goodness(rows, query, metric)[::3].tolist())) == 1


def test_no_rows_have_no_scores() -> None:
    for metric in Metric:
        assert len(exact.goodness(np.zeros((0, 3), np.float32), np.zeros(0), np.ones(3, np.float32), metric)) == 0


def test_a_zero_row_or_query_has_cosine_zero() -> None:
    rows = np.array([[0, 0], [1, 2]], np.float32)
    for query in ([0, 0], [1, 0]):
        vector = np.array(query, np.float32)
        for found in (
            exact.goodness(rows, squared_norms(rows), vector, Metric.COSINE),
            exact.exact_goodness(rows, vector, Metric.COSINE),
        ):
            assert found[0] == 0
            assert bool(found[1]) is any(query)


def test_scores_beyond_float32_are_its_largest_numbers() -> None:
    shown = exact.to_float32(np.array([-1e60, -1.0, 1e-60, 1e60]))
    assert shown.tolist() == [-FLOAT32_MAX, -1.0, 0.0, FLOAT32_MAX]


@given(
    st.lists(st.floats(-FLOAT32_MAX, FLOAT32_MAX, width=32), min_size=1, max_size=30),
    st.integers(1, 40),
    st.floats(0, 1e39),
)
def test_candidates_are_all_that_could_be_among_the_best(scores: list[float], top_k: int, slack: float) -> None:
    found = exact.best_candidates(np.array(scores, np.float32), top_k, slack).tolist()
    assert found == sorted(set(found))
    bound = sorted(scores, reverse=True)[min(top_k, len(scores)) - 1]
    must = [place for place, score in enumerate(scores) if score >= bound - slack]
    assert set(must) <= set(found)
    if slack == 0 and top_k <= len(scores):
        assert found == must


def test_candidates_without_slack_are_the_best_and_their_equals() -> None:
    scores = np.array([1, 3, 2, 3, 0], np.float32)
    assert exact.best_candidates(scores, 1, 0.0).tolist() == [1, 3]
    assert exact.best_candidates(scores, 3, 0.0).tolist() == [1, 2, 3]
    assert exact.best_candidates(scores, 3, 0.5).tolist() == [0, 1, 2, 3]
    assert exact.best_candidates(scores, 5, 0.0).tolist() == [0, 1, 2, 3, 4]
    assert exact.best_candidates(scores, 9, 0.0).tolist() == [0, 1, 2, 3, 4]
