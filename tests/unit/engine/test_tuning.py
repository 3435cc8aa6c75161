"""Queries that are moved away from near duplicates, whatever the size of their numbers."""

import numpy as np
import pytest

from pinyon.engine.tuning import moved_away
from pinyon.model.metric import Metric


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
