"""True neighbours are the nearest of all rows, and finding them takes some MiB whatever the rows and queries are."""

import tracemalloc

import numpy as np
import pytest

from pinyon.ann.exact import exact_goodness
from pinyon.engine.true_neighbours import true_neighbours
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s
from tests.unit.engine.searched_index import clustered, searched_index


def found(rows: Float32s, metric: Metric, queries: Float32s, without: Int64s) -> tuple[Float32s, Int64s, int]:
    """The rows as they lie in a segment, the nearest five of each query, and the bytes that it took to find them."""
    live = searched_index(rows, metric).read("n")[0].parts[0].live
    dense = live.segment.dense
    assert dense is not None
    assert live.structures is not None
    tracemalloc.start()
    nearest = true_neighbours(dense, live.structures, queries, 5, without, lambda: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return dense.slice(0, len(rows)), nearest, peak


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("query_count", [1, 1500])
def test_the_nearest_of_all_rows_are_found_but_for_those_left_out(metric: Metric, query_count: int) -> None:
    queries, without = clustered(query_count, 8, seed=5), np.arange(0, 5000, 3)
    rows, nearest, _ = found(clustered(5000, 8), metric, queries, without)
    assert nearest.shape == (query_count, 5)
    assert not np.isin(nearest, without).any()
    for query, mine in zip(queries[:50], nearest, strict=False):
        goodness = exact_goodness(rows, query, metric)
        goodness[without] = -np.inf
        np.testing.assert_allclose(goodness[mine], np.sort(goodness)[:-6:-1], rtol=1e-4)


@pytest.mark.parametrize(("row_count", "dimension", "query_count"), [(8000, 8, 1024), (4000, 768, 16)])
def test_neither_many_queries_nor_long_rows_take_much_memory(row_count: int, dimension: int, query_count: int) -> None:
    queries = clustered(query_count, dimension, seed=5)
    peak = found(clustered(row_count, dimension), Metric.EUCLIDEAN, queries, np.zeros(0, np.int64))[2]
    assert peak < 24_000_000
