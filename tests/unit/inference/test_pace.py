"""Estimates follow what was measured."""

import pytest

from pinyon.inference.pace import Pace


def test_nothing_measured_means_no_wait() -> None:
    assert Pace().expected_s(1000) == 0.0


def test_an_estimate_follows_the_newest_batches() -> None:
    pace = Pace()
    pace.measured(100, 10.0)
    assert pace.expected_s(50) == pytest.approx(5.0)
    for _ in range(30):
        pace.measured(100, 20.0)
    assert pace.expected_s(50) == pytest.approx(10.0, rel=0.01)
