"""Codes of rows in memory: what they choose holds the nearest, or they say that all rows must be scored."""

import numpy as np
import pytest

from pinyon.ann import exact
from pinyon.ann.row_codes import Best, RowCodes, encode_rows
from pinyon.model.batches import squared_norms
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.ann.clustered_vectors import clustered_vectors, share_found

ROWS, QUERIES = clustered_vectors(Metric.COSINE, 192, row_count=4096)


def codes_of(rows: Float32s, metric: Metric) -> RowCodes:
    return encode_rows(rows, squared_norms(rows), metric)


def best_of(codes: RowCodes, rows: Float32s, query: Float32s, metric: Metric) -> Best | None:
    """The best ten; the goodness of each row that is scored is compared."""
    least = codes.scored_min(10)
    assert least is not None
    goodness = exact.exact_goodness(rows, query, metric).astype(np.float32)
    best = codes.best(query, 10, least, None, goodness.__getitem__)
    if best is not None:
        assert best.rows.tolist() == sorted(best.rows.tolist())
        assert best.goodness.tolist() == goodness[best.rows].tolist()
        assert len(best.rows) >= least
    return best


def recall(codes: RowCodes, rows: Float32s, queries: Float32s, metric: Metric) -> tuple[float, float]:
    """Of the nearest ten: the share that is found, and of the queries, the share for which all rows are scored."""
    shares = []
    for query in queries:
        best = best_of(codes, rows, query, metric)
        if best is not None:
            nearest = np.argsort(-exact.exact_goodness(rows, query, metric), kind="stable")[:10]
            shares.append(share_found(best.rows, nearest))
    return float(np.mean(shares or 1.0)), 1 - len(shares) / len(queries)


@pytest.mark.parametrize("metric", list(Metric))
def test_the_rows_that_are_chosen_hold_the_nearest_and_mostly_are_enough(metric: Metric) -> None:
    found, scored_all = recall(codes_of(ROWS, metric), ROWS, QUERIES, metric)
    assert found >= 0.99
    assert scored_all < 0.75, "these are clusters whose rows are more alike than real texts"


def test_a_far_longer_row_does_not_spoil_the_others() -> None:
    rows = ROWS.copy()
    rows[7] *= 1000
    for metric in (Metric.EUCLIDEAN, Metric.DOTPRODUCT):
        found, scored_all = recall(codes_of(rows, metric), rows, QUERIES, metric)
        assert found >= 0.99
        assert scored_all < 0.75


@pytest.mark.parametrize("metric", [Metric.EUCLIDEAN, Metric.DOTPRODUCT])
def test_far_longer_rows_on_the_other_side_do_not_make_the_others_look_worse(metric: Metric) -> None:
    rows = ROWS.copy()
    rows[::500] *= -1000
    queries = np.random.default_rng(9).standard_normal((30, 192), dtype=np.float32)
    assert recall(codes_of(rows, metric), rows, queries, metric)[0] >= 0.97


def test_rows_that_are_less_sure_than_those_that_are_chosen_are_not_missed() -> None:
    rng = np.random.default_rng(11)
    centre, spread = rng.standard_normal(64), np.full((4096, 1), 0.05)
    spread[500:1000] = 1
    rows = (centre + spread * rng.standard_normal((4096, 64))).astype(np.float32)
    queries = (centre + 1.5 * rng.standard_normal((30, 64))).astype(np.float32)
    assert recall(codes_of(rows, Metric.COSINE), rows, queries, Metric.COSINE)[0] >= 0.99


@pytest.mark.parametrize("metric", list(Metric))
def test_queries_that_are_like_no_row_lose_nothing(metric: Metric) -> None:
    queries = np.random.default_rng(9).standard_normal((30, 192), dtype=np.float32)
    assert recall(codes_of(ROWS, metric), ROWS, queries, metric)[0] >= 0.97


@pytest.mark.parametrize("metric", list(Metric))
def test_near_copies_lose_nothing(metric: Metric) -> None:
    rng = np.random.default_rng(10)
    rows = np.repeat(ROWS[:200], 20, axis=0) + 0.02 * rng.standard_normal((4000, 192)).astype(np.float32)
    assert recall(codes_of(rows, metric), rows, QUERIES, metric)[0] >= 0.97


@pytest.mark.parametrize("metric", list(Metric))
def test_of_rows_that_are_all_the_same_the_chosen_are_not_enough(metric: Metric) -> None:
    for value in (0.0, 1.0):
        rows = np.full((4096, 128), value, np.float32)
        assert best_of(codes_of(rows, metric), rows, rows[0], metric) is None


def test_more_results_take_more_rows_and_in_the_end_all() -> None:
    codes = codes_of(ROWS, Metric.COSINE)
    assert [codes.scored_min(top_k) for top_k in (1, 10, 40, 1000)] == [256, 256, 320, None]


def test_a_single_row_has_codes_and_is_to_be_scored() -> None:
    assert codes_of(ROWS[:1], Metric.COSINE).scored_min(1) is None
