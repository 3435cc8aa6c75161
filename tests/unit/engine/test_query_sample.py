"""Which queries are kept to tune with."""

import numpy as np

from pinyon.engine.query_sample import QuerySample
from pinyon.model.record import Float32s


def numbered(number: int) -> Float32s:
    return np.array([number, 1], np.float32)


def test_equal_queries_count_once() -> None:
    sample = QuerySample()
    for number in (3, 4, 3, 3):
        sample.add("n", numbered(number))
    sample.add("m", numbered(3))
    assert (sample.count("n"), sample.count("m"), sample.count("other")) == (2, 1, 0)
    assert sample.vectors("n").tolist() == [[3, 1], [4, 1]]


def test_what_is_kept_is_a_copy() -> None:
    sample, vector = QuerySample(), numbered(1)
    sample.add("n", vector)
    vector[:] = 7
    assert sample.vectors("n").tolist() == [[1, 1]]


def test_the_sample_is_bounded_and_goes_with_the_time() -> None:
    sample = QuerySample()
    for number in range(3000):
        sample.add("early", numbered(number))
    assert sample.count("early") == 512
    for number in range(6000):
        sample.add("late", numbered(number))
    assert (sample.count("early"), sample.count("late")) == (512 - 375, 375)
    kept = sample.vectors("early")[:, 0]
    # Those that came first went first; of the later ones, one in sixteen was kept.
    assert kept[-1] > 2900
    assert len(np.unique(kept)) == len(kept)
