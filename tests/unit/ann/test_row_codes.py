"""Codes of rows in memory: what they choose holds the nearest, or they say that all rows must be scored."""

from dataclasses import replace

import numpy as np
import pytest

from pinyon.ann import exact
from pinyon.ann.row_codes import RowCodes, encode_rows
from pinyon.model.batches import squared_norms
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Mask
from tests.unit.ann.clustered_vectors import clustered_vectors, share_found

ROWS, QUERIES = clustered_vectors(Metric.COSINE, 192, row_count=4096)


def codes_of(rows: Float32s, metric: Metric) -> RowCodes:
    return encode_rows(rows, squared_norms(rows), metric)


def recall(codes: RowCodes, rows: Float32s, metric: Metric, mask: Mask | None = None) -> float:
    pool = codes.pool_for(10, 0.99)
    assert pool is not None
    shares = []
    for query in QUERIES:
        goodness = exact.exact_goodness(rows, query, metric)
        if mask is not None:
            goodness[~mask] = -np.inf
        chosen = codes.chosen(query, pool, mask)
        assert mask is None or mask[chosen].all()
        shares.append(share_found(chosen, np.argsort(-goodness)[:10]))
    return float(np.mean(shares))


@pytest.mark.parametrize("metric", list(Metric))
def test_the_rows_that_are_chosen_hold_the_nearest(metric: Metric) -> None:
    codes = codes_of(ROWS, metric)
    assert codes.row_count == len(ROWS)
    assert codes.pool < len(ROWS) // 8
    assert recall(codes, ROWS, metric) >= 0.99


def test_of_rows_in_a_mask_the_nearest_are_chosen_too() -> None:
    mask = np.random.default_rng(3).random(len(ROWS)) < 0.5
    assert recall(codes_of(ROWS, Metric.COSINE), ROWS, Metric.COSINE, mask) >= 0.99


def test_a_far_longer_row_does_not_spoil_the_others() -> None:
    rows = ROWS.copy()
    rows[7] *= 1000
    for metric in (Metric.EUCLIDEAN, Metric.DOTPRODUCT):
        assert recall(codes_of(rows, metric), rows, metric) >= 0.99


def test_more_results_take_more_rows_and_in_the_end_all() -> None:
    codes = replace(codes_of(ROWS, Metric.COSINE), pool=100)
    assert [codes.pool_for(top_k, 0.97) for top_k in (1, 10, 20)] == [100, 100, 200]
    assert codes.pool_for(1000, 0.97) is None


def test_for_more_than_codes_find_all_rows_are_scored() -> None:
    assert codes_of(ROWS, Metric.COSINE).pool_for(10, 0.995) is None


def test_where_estimates_tell_rows_badly_apart_all_are_scored() -> None:
    rows = np.random.default_rng(4).standard_normal((2048, 512), dtype=np.float32)
    assert codes_of(rows, Metric.COSINE).pool_for(10, 0.97) is None


def test_rows_that_are_all_the_same_have_codes_too() -> None:
    for metric in Metric:
        codes_of(np.zeros((300, 128), np.float32), metric)
        codes_of(np.ones((300, 128), np.float32), metric)
