"""Codes of rows in memory: what they choose holds the nearest, or they say that all rows must be scored."""

import numpy as np
import pytest

from pinyon.ann import exact
from pinyon.ann.row_codes import RowCodes, encode_rows
from pinyon.model.batches import squared_norms
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.ann.clustered_vectors import clustered_vectors, share_found

ROWS, QUERIES = clustered_vectors(Metric.COSINE, 192, row_count=4096)


def codes_of(rows: Float32s, metric: Metric) -> RowCodes:
    return encode_rows(rows, squared_norms(rows), metric)


def recall(codes: RowCodes, rows: Float32s, queries: Float32s, metric: Metric) -> tuple[float, float]:
    """Of the nearest ten: the share that is found, and of the queries, the share for which all rows are scored."""
    pool = codes.pool_for(10)
    assert pool is not None
    shares, fallbacks = [], 0
    for query in queries:
        goodness = exact.exact_goodness(rows, query, metric)
        chosen = codes.quantised.candidates(query, pool)
        if codes.are_enough(chosen, goodness[chosen.rows].astype(np.float32), query, 10):
            shares.append(share_found(chosen.rows, np.argsort(-goodness, kind="stable")[:10]))
        else:
            shares.append(1.0)
            fallbacks += 1
    return float(np.mean(shares)), fallbacks / len(queries)


@pytest.mark.parametrize("metric", list(Metric))
def test_the_rows_that_are_chosen_hold_the_nearest_and_mostly_are_enough(metric: Metric) -> None:
    found, scored_all = recall(codes_of(ROWS, metric), ROWS, QUERIES, metric)
    assert found >= 0.99
    assert scored_all < 0.75, "these are clusters whose rows are more alike than real texts"


def test_a_far_longer_row_does_not_spoil_the_others() -> None:
    rows = ROWS.copy()
    rows[7] *= 1000
    for metric in (Metric.EUCLIDEAN, Metric.DOTPRODUCT):
        assert recall(codes_of(rows, metric), rows, QUERIES, metric)[0] >= 0.99


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
        chosen = codes_of(rows, metric).quantised.candidates(rows[0], 256)
        goodness = exact.exact_goodness(rows[chosen.rows], rows[0], metric).astype(np.float32)
        assert not codes_of(rows, metric).are_enough(chosen, goodness, rows[0], 10)


def test_more_results_take_more_rows_and_in_the_end_all() -> None:
    codes = codes_of(ROWS, Metric.COSINE)
    assert [codes.pool_for(top_k) for top_k in (1, 10, 40, 1000)] == [256, 256, 320, None]
