"""Which rows need no exact score is told by their estimates, their errors, and how far both were off for others."""

from typing import NamedTuple

import numpy as np
import pytest

from pinyon.ann.estimates import Rest, score_needed
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s
from tests.unit.ann.clustered_vectors import build, clustered_vectors

TOP_K = 10


class Found(NamedTuple):
    """The share of the best that was missed, and how many rows were scored."""

    missed: float
    scored: float


def found_of(goodness: Float32s, estimates: Float32s, errors: Float32s) -> Found:
    asked: list[int] = []

    def score(places: Int64s) -> Float32s:
        asked.extend(places.tolist())
        return goodness[places]

    scored = score_needed(estimates, errors, score, top_k=TOP_K, least=256, step_max=128)
    assert scored.is_enough
    assert asked == scored.places.tolist()
    assert scored.goodness.tolist() == goodness[scored.places].tolist()
    return Found(float(np.isin(np.argsort(-goodness)[:TOP_K], scored.places, invert=True).mean()), len(scored.places))


def mean_of(runs: list[Found]) -> Found:
    return Found(float(np.mean([each.missed for each in runs])), float(np.mean([each.scored for each in runs])))


def drawn(errors: Float32s, rng: np.random.Generator, times: float = 1.0) -> Found:
    """Of rows whose estimates are off by so many times their errors."""
    goodness = rng.standard_normal(len(errors), dtype=np.float32)
    off = times * errors * rng.standard_normal(len(errors), dtype=np.float32)
    return found_of(goodness, goodness + off, errors)


@pytest.mark.parametrize(("times", "missed"), [(0.7, 0.002), (1.0, 0.004), (2.0, 0.02)])
@pytest.mark.parametrize("errors", [[0.6], [1.0], [0.02, 1.0]], ids=["large", "as large as goodness", "of two kinds"])
def test_hardly_any_of_the_best_is_missed_and_many_rows_are_left(
    errors: list[float], times: float, missed: float
) -> None:
    rng = np.random.default_rng(1)
    of_rows = np.resize(np.array(errors, np.float32), 8192)
    found = mean_of([drawn(of_rows, rng, times) for _ in range(100)])
    assert found.missed <= missed
    assert found.scored < 0.8 * 8192


def test_the_less_sure_estimates_are_the_more_rows_are_scored() -> None:
    rng = np.random.default_rng(1)
    counts = [mean_of([drawn(np.full(8192, error, np.float32), rng) for _ in range(20)]).scored for error in (0.2, 0.7)]
    assert counts[0] == 256
    assert counts[1] > 1000


def test_rows_that_are_not_given_may_be_better() -> None:
    goodness, errors = np.arange(1000, 0, -1, dtype=np.float32), np.full(1000, 0.1, np.float32)
    scored = []
    for rest in (None, Rest(900.0, 0.0), Rest(900.0, 50.0), Rest(2000.0, 0.0)):
        found = score_needed(goodness, errors, goodness.__getitem__, top_k=TOP_K, least=256, step_max=100, rest=rest)
        scored.append((len(found.places), found.is_enough))
    assert scored == [(256, True), (256, True), (1000, False), (1000, False)]


def test_what_tells_nothing_is_scored_first_and_spoils_nothing() -> None:
    rng = np.random.default_rng(1)
    errors = np.full(8192, 0.1, np.float32)
    errors[::100] = np.inf
    goodness = rng.standard_normal(8192, dtype=np.float32)
    estimates = goodness + np.where(np.isinf(errors), -50, 0.1 * rng.standard_normal(8192)).astype(np.float32)
    first = score_needed(estimates, errors, goodness.__getitem__, top_k=TOP_K, least=256, step_max=82).places[:82]
    assert set(first.tolist()) == set(range(0, 8192, 100))
    found = found_of(goodness, estimates, errors)
    assert found.missed == 0
    assert found.scored < 2048


def test_where_no_estimate_tells_anything_all_rows_are_scored() -> None:
    goodness, unknown = np.arange(1000, dtype=np.float32), np.full(1000, np.inf, np.float32)
    found = found_of(goodness, np.zeros(1000, np.float32), unknown)
    assert (found.missed, found.scored) == (0, 1000)


@pytest.mark.parametrize("size", [1e-36, 1e-20, 1e20])
def test_how_large_goodness_is_makes_no_difference(size: float) -> None:
    rng = np.random.default_rng(1)
    errors = np.full(4096, 0.1, np.float32)
    goodness = rng.uniform(1, 2, 4096).astype(np.float32)
    estimates = goodness + errors * rng.standard_normal(4096, dtype=np.float32)
    factor = np.float32(size)
    assert found_of(goodness * factor, estimates * factor, errors * factor) == found_of(goodness, estimates, errors)


@pytest.mark.parametrize("metric", Metric)
def test_errors_of_codes_are_what_estimates_are_off_by(metric: Metric) -> None:
    vectors = clustered_vectors(metric, 128, 3000)
    built = build(metric, vectors.rows)
    rows, space = built.model.space.rows(built.rows), built.model.space
    times_off = []
    for query in vectors.queries:
        found = built.quantised.candidates(query, 3000)
        errors = built.quantised.errors(found.rows, found.error)
        tells = np.isfinite(errors)
        true = rows @ space.query(query)
        if metric is Metric.EUCLIDEAN:
            true = 2 * true - np.vecdot(rows, rows)
        times_off.append(((found.estimates - true[found.rows]) / errors)[tells])
    assert 0.85 < np.sqrt(np.mean(np.square(np.concatenate(times_off)))) < 1.25


def test_long_rows_have_no_errors_to_reckon_with() -> None:
    vectors = clustered_vectors(Metric.DOTPRODUCT, 64, 1000)
    vectors.rows[7] *= 1000
    quantised = build(Metric.DOTPRODUCT, vectors.rows).quantised
    found = quantised.candidates(vectors.queries[0], 1000)
    errors = quantised.errors(found.rows, found.error)
    assert np.flatnonzero(np.isinf(errors)).tolist() == quantised.space.long_rows.tolist() != []
    assert quantised.least_sure_row == int(np.argmax(np.where(np.isinf(errors), 0, errors)))
