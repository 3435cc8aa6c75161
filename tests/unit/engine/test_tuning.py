"""Queries that are moved away from near duplicates, whatever the size of their numbers."""

import numpy as np
import pytest

from pinyon.engine.sample_queries import asked_for_many, moved_away
from pinyon.engine.tuning import Tuner
from pinyon.model.metric import Metric
from tests.unit.engine.searched_index import clustered, searched_index


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("size", [1.0, 1e-25, 1e18, 1e20, 1e36])
def test_a_row_with_duplicates_is_moved_as_far_as_its_last_neighbour(metric: Metric, size: float) -> None:
    rng = np.random.default_rng(0)
    row = rng.standard_normal(8)
    away = np.array([1e-3] * 10 + [0.3] * 10)[:, None] * rng.standard_normal((20, 8))
    moved, still = (
        moved_away(
            (size * row).astype(np.float32),
            (size * (row + neighbours)).astype(np.float32),
            metric,
            0.5,
            np.random.default_rng(1),
        )
        for neighbours in (away, away[[-1] * 20])
    )
    assert moved.dtype == np.float32
    assert np.isfinite(moved).all()
    assert 0.1 < np.linalg.norm(moved / size - row) < 3
    assert still.tolist() == (size * row).astype(np.float32).tolist(), "its neighbours are equally far"


@pytest.mark.parametrize("metric", Metric)
def test_a_row_is_not_moved_beyond_the_largest_number(metric: Metric) -> None:
    row = np.full(8, 3.4e38, np.float32)
    neighbours = np.stack([row * np.float32(0.999), -row])
    assert np.isfinite(moved_away(row, neighbours, metric, 0.5, np.random.default_rng(1))).all()


def test_many_results_are_asked_for_by_rows_without_duplicates_from_all_over() -> None:
    is_moved = np.arange(300) % 3 == 0
    chosen = np.flatnonzero(asked_for_many(is_moved))
    assert len(chosen) == 128
    assert not is_moved[chosen].any()
    assert (chosen[0], chosen[-1]) == (1, 299)


@pytest.mark.parametrize(("query_count", "expected"), [(300, 128), (100, 100)])
def test_where_most_rows_have_duplicates_they_ask_for_many_results_too(query_count: int, expected: int) -> None:
    is_moved = np.arange(query_count) % 10 > 0
    assert np.count_nonzero(asked_for_many(is_moved)) == expected


def test_only_rows_with_duplicates_are_moved() -> None:
    rows = clustered(5000, 24)
    rows[:1000] = rows[1000:2000] + np.float32(1e-3)
    (part,) = searched_index(rows).read("n")[0].parts
    tuner = Tuner(part.live, Metric.COSINE)
    assert tuner._many is not None
    known = {row.tobytes() for row in rows}
    assert all(query.tobytes() in known for query in tuner._many.queries)
    moved = sum(query.tobytes() not in known for query in tuner._few.queries)
    assert 0.2 * len(tuner.rows) < moved < 0.6 * len(tuner.rows)


def test_rows_that_were_moved_lose_less_than_queries_from_outside() -> None:
    rows = clustered(6000, 64)
    noise = np.random.default_rng(2).normal(0, 0.05, (6000, 64)).astype(np.float32)
    copies = np.repeat(rows[:600], 10, axis=0) + noise
    some_copies = np.concatenate((rows[:2000], copies[:4000]))
    times = []
    for vectors, least, most in ((rows, 0, 0), (some_copies, 0.5, 0.8), (copies, 0.99, 1)):
        (part,) = searched_index(vectors, graph_rows_min=1000).read("n")[0].parts
        tuner = Tuner(part.live, Metric.COSINE)
        assert least <= tuner._few.moved_share <= most
        times.append([tuner._loss_times(tuner._few, structure) for structure in ("quantised", "graph")])
        asked = Tuner(part.live, Metric.COSINE, queries=vectors[:200])
        assert asked._loss_times(asked._few, "quantised") == 1
    assert times[0] == [1, 1]
    assert times[0] < times[1] < times[2] <= [2.0, 1.15]
