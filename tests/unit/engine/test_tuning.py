"""Efforts are measured with queries that are to the rows what queries of callers are."""

import numpy as np
import pytest

from pinyon.ann.exact import exact_goodness
from pinyon.engine.sample_queries import are_copies
from pinyon.engine.tuning import Tuner
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.engine.searched_index import clustered, plan, searched_index


def versions_of_things(count: int, noise: float, things: Float32s) -> Float32s:
    """So many versions of each, with noise, one after another."""
    rows = np.repeat(things, count, axis=0)
    return rows + noise * np.random.default_rng(2).standard_normal(rows.shape, dtype=np.float32)


def things(count: int, dimension: int, seed: int) -> Float32s:
    """Things of few hidden dimensions: what is near to them is not in all directions."""
    basis = np.random.default_rng(0).standard_normal((24, dimension), dtype=np.float32)
    return np.random.default_rng(seed).standard_normal((count, 24), dtype=np.float32) @ basis


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("size", [1.0, 1e-25, 1e18, 1e20, 1e36])
def test_neighbours_before_a_gap_are_copies(metric: Metric, size: float) -> None:
    rng = np.random.default_rng(0)
    row = rng.standard_normal(64)
    away = np.array([1e-3] * 5 + [0.1] * 6 + [0.3] * 10)[:, None] * rng.standard_normal((21, 64))
    away[12:] *= np.linspace(1, 1.1, 9)[:, None]
    order = rng.permutation(21)
    copies = are_copies((size * (row + away))[order].astype(np.float32), (size * row).astype(np.float32), metric)
    assert copies.tolist() == (order < 11).tolist()


@pytest.mark.parametrize("metric", Metric)
def test_neighbours_without_a_gap_are_no_copies(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    row = rng.standard_normal(512, dtype=np.float32)
    assert not are_copies(row + np.float32(0.1) * rng.standard_normal((20, 512), dtype=np.float32), row, metric).any()
    assert not are_copies(np.tile(row, (51, 1)), row, metric).any()
    parallel = np.linspace(0.5, 2, 51, dtype=np.float32)[:, None] * row
    assert metric is Metric.EUCLIDEAN or not are_copies(parallel, row, metric).any()


@pytest.mark.parametrize("metric", Metric)
def test_degenerate_neighbours_are_no_error(metric: Metric) -> None:
    zero = np.zeros(3, np.float32)
    assert not are_copies(np.zeros((0, 3), np.float32), zero, metric).any()
    assert not are_copies(np.zeros((1, 3), np.float32), zero, metric).any()
    assert not are_copies(np.zeros((5, 3), np.float32), zero, metric).any()


def test_rows_are_held_back_with_their_copies_and_a_twentieth_of_all_at_most() -> None:
    rows = versions_of_things(8, 0.01, things(1000, 48, 1))
    (part,) = searched_index(rows).read("n")[0].parts
    tuner = Tuner(part.live, Metric.COSINE, queries_max=1024)
    thing_of = np.array([int(id_) // 8 for id_ in part.live.segment.ids(tuner.held_back)])
    _, counts = np.unique(thing_of, return_counts=True)
    assert (counts == 8).all()
    assert 0.04 * len(rows) < len(tuner.held_back) <= 0.05 * len(rows)
    assert not np.isin(tuner._few.nearest, tuner.held_back).any()


@pytest.mark.parametrize("metric", Metric)
def test_new_things_are_found_among_versions_of_others(metric: Metric) -> None:
    rows = versions_of_things(12, 0.02, things(1000, 96, 1))
    index = searched_index(rows, metric, graph_rows_min=1000)
    shares = []
    for query in things(300, 96, 3):
        view = index.read("n")[0]
        found, wanted = (
            {match.id for match in index.search(view, plan(query, metric, target_recall=recall))}
            for recall in (0.97, 1.0)
        )
        shares.append(len(found & wanted) / len(wanted))
    assert np.mean(shares) >= 0.955


def test_what_callers_asked_is_taken_as_it_is() -> None:
    rows = clustered(6000, 24)
    (part,) = searched_index(rows).read("n")[0].parts
    tuner = Tuner(part.live, Metric.COSINE, queries=rows[:200])
    assert not len(tuner.held_back)
    np.testing.assert_array_equal(tuner._few.queries, rows[:200])


@pytest.mark.parametrize("metric", Metric)
def test_what_queries_should_find_is_nearest_to_them_of_the_rows_that_are_not_held_back(metric: Metric) -> None:
    rows = clustered(12_000, 24)
    rows[:1000] = rows[1000:2000] + np.float32(1e-3)
    rows[2000:2010] *= 100
    (part,) = searched_index(rows, metric).read("n")[0].parts
    assert part.live.segment.dense is not None
    tuner, dense = Tuner(part.live, metric), part.live.segment.dense.slice(0, len(rows))
    assert tuner._many is not None
    for sample in (tuner._few, tuner._many):
        for query, nearest in zip(sample.queries, sample.nearest, strict=True):
            goodness = exact_goodness(dense, query, metric)
            goodness[tuner.held_back] = -np.inf
            best = np.sort(goodness)[-sample.top_k :]
            np.testing.assert_allclose(np.sort(goodness[nearest]), best, rtol=1e-4, atol=1e-6)
