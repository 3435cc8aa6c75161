"""Candidates are scored as far as their estimates leave them a chance, and what is found is the same."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from pinyon.ann.candidates import Candidates
from pinyon.ann.exact import exact_goodness
from pinyon.engine import part_scoring
from pinyon.engine.part import Part
from pinyon.engine.part_scoring import NO_HITS, best_estimated, best_scored
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.engine.searched_index import clustered, plan, searched_index

ROWS = clustered(6000, 256)
QUERIES = clustered(20, 256, seed=5)


def part_of(rows: Float32s, metric: Metric) -> Part:
    (part,) = searched_index(rows, metric).read("n")[0].parts
    return part


def candidates(part: Part, query: Float32s, pool: int) -> Candidates:
    assert part.live.structures is not None
    return part.live.structures.quantised.candidates(query, pool)


def found(part: Part, query: Float32s, pool: int, metric: Metric, top_k: int) -> list[int]:
    assert part.live.structures is not None
    asked = plan(query, metric, top_k=top_k)
    hits = best_estimated(part, candidates(part, query, pool), part.live.structures.quantised, asked)
    assert hits.rows.tolist() == sorted(hits.rows.tolist())
    rows: list[int] = hits.rows.tolist()
    return rows


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call has scored."""
    counts: list[int] = []
    vectors = part_scoring._vectors

    def counted(part: Part, rows: Any, **options: Any) -> Float32s:
        counts.append(len(rows))
        return vectors(part, rows, **options)

    monkeypatch.setattr(part_scoring, "_vectors", counted)
    return counts


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize(("top_k", "pool"), [(10, 3000), (100, 5000)])
def test_most_of_a_large_pool_is_not_scored_and_nothing_is_missed(
    metric: Metric, top_k: int, pool: int, scored: list[int]
) -> None:
    part = part_of(ROWS, metric)
    shares, least = [], max(256, 8 * top_k)
    total = 0
    for query in QUERIES:
        best = best_scored(part, candidates(part, query, pool).rows, plan(query, metric, top_k=top_k), NO_HITS)
        scored.clear()
        mine = found(part, query, pool, metric, top_k)
        assert scored[0] == least
        total += sum(scored)
        shares.append(len({*mine} & {*best.rows.tolist()}) / len(best.rows))
    assert np.mean(shares) >= 0.999
    assert total < 0.8 * pool * len(QUERIES)


def test_the_more_alike_all_rows_are_to_a_query_the_more_are_scored(scored: list[int]) -> None:
    part = part_of(ROWS, Metric.COSINE)
    totals = []
    for queries in (QUERIES, np.random.default_rng(6).standard_normal((20, 256), dtype=np.float32)):
        scored.clear()
        for query in queries:
            found(part, query, 3000, Metric.COSINE, 10)
        totals.append(sum(scored))
    assert totals[1] > 1.5 * totals[0]


def test_for_the_highest_recall_all_candidates_are_scored(scored: list[int]) -> None:
    part = part_of(ROWS, Metric.COSINE)
    assert part.live.structures is not None
    scored.clear()
    asked = plan(QUERIES[0], target_recall=0.995)
    best_estimated(part, candidates(part, QUERIES[0], 3000), part.live.structures.quantised, asked)
    assert sum(scored) == 3000


def test_a_small_pool_is_scored_at_once(scored: list[int]) -> None:
    part = part_of(ROWS, Metric.COSINE)
    scored.clear()
    found(part, QUERIES[0], 511, Metric.COSINE, 10)
    assert scored == [511]


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.EUCLIDEAN])
def test_among_near_copies_nothing_is_missed_either(metric: Metric) -> None:
    rng = np.random.default_rng(7)
    copies = (np.repeat(ROWS[:12], 500, axis=0) + 0.3 * rng.standard_normal((6000, 256))).astype(np.float32)
    part = part_of(copies, metric)
    shares, of_first = [], []
    for query in ROWS[:12]:
        pool = candidates(part, query, 3000)
        best = set(best_scored(part, pool.rows, plan(query, metric), NO_HITS).rows.tolist())
        shares.append(len({*found(part, query, 3000, metric, 10)} & best) / len(best))
        of_first.append(len({*pool.rows[np.argsort(-pool.estimates)[:256]].tolist()} & best) / len(best))
    assert np.mean(shares) >= 0.99
    assert np.mean(of_first) < 0.97, "to stop after the first rows would not do"


def test_rows_that_float32_cannot_tell_apart_are_told_apart() -> None:
    metric, far = Metric.EUCLIDEAN, np.float32(1000)
    part = part_of(ROWS + far, metric)
    assert part.live.segment.dense is not None
    for query in QUERIES + far:
        exact = exact_goodness(part.live.segment.dense.slice(0, len(ROWS)), query, metric)
        best = set(np.argsort(-exact)[:10].tolist())
        assert best <= set(best_scored(part, np.arange(len(ROWS)), plan(query, metric), NO_HITS).rows.tolist())
        assert best <= set(found(part, query, 3000, metric, 10))


@pytest.mark.parametrize("metric", [Metric.EUCLIDEAN, Metric.DOTPRODUCT])
def test_long_rows_are_scored_whatever_their_estimates_are(metric: Metric) -> None:
    rows = ROWS.copy()
    rows[7] *= 1000
    part = part_of(rows, metric)
    assert part.live.structures is not None
    space = part.live.structures.space
    query = rows[7] / (1 if metric is Metric.EUCLIDEAN else 1000)
    every = candidates(part, query, 6000)
    wrong = np.where(every.rows == space.long_rows[0], np.float32(-1e9), every.estimates)
    hits = best_estimated(
        part, every._replace(estimates=wrong), part.live.structures.quantised, plan(query, metric, top_k=1)
    )
    assert hits.rows.tolist() == space.long_rows.tolist()


def test_long_rows_are_scored_besides_those_that_tell_how_far_estimates_are_off(scored: list[int]) -> None:
    rows = ROWS.copy()
    rows[:30] *= 1000
    part = part_of(rows, Metric.EUCLIDEAN)
    scored.clear()
    found(part, QUERIES[0], 3000, Metric.EUCLIDEAN, 10)
    assert scored[0] == 256 + 30


def test_vectors_are_copied_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, scored: list[int]) -> None:
    monkeypatch.setattr(part_scoring, "_COPIED_BYTES", 600 * 256 * 4)
    part = part_of(ROWS, Metric.COSINE)
    scored.clear()
    found(part, QUERIES[0], 5999, Metric.COSINE, 500)
    rows = np.arange(0, 6000, 2)
    best_scored(part, rows, plan(QUERIES[0]), NO_HITS)
    assert max(scored) == 600


def test_where_all_rows_are_scored_in_float64_a_few_are_at_a_time() -> None:
    rows = ROWS.copy()
    rows[7] *= 1e6
    part = part_of(rows, Metric.EUCLIDEAN)
    tracemalloc.start()
    hits = best_scored(part, np.arange(6000), plan(QUERIES[0], Metric.EUCLIDEAN), NO_HITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * rows.nbytes
    distances = np.sum((rows.astype(np.float64) - QUERIES[0]) ** 2, axis=1)
    np.testing.assert_allclose(np.sort(-hits.goodness), np.sort(distances)[:10], rtol=1e-12)


@pytest.mark.parametrize(
    ("metric", "size"), [(Metric.DOTPRODUCT, 1.0), (Metric.DOTPRODUCT, 1e17), (Metric.EUCLIDEAN, 1e17)]
)
@pytest.mark.parametrize("query_size", [0.0, 1.0])
def test_queries_of_zeros_and_large_numbers_find_as_many_as_others(
    metric: Metric, size: float, query_size: float, scored: list[int]
) -> None:
    rows = ROWS * np.float32(size)
    rows[:5] *= 1000
    part = part_of(rows, metric)
    query = rows[50] * np.float32(query_size)
    assert part.live.structures is not None
    every = candidates(part, query, 3000)
    hits = best_estimated(part, every, part.live.structures.quantised, plan(query, metric))
    assert len(hits.rows) >= 10
    assert set(hits.rows.tolist()) <= set(every.rows.tolist())
    truth = best_scored(part, every.rows, plan(query, metric), NO_HITS)
    assert np.sort(hits.goodness)[-10:].tolist() == np.sort(truth.goodness)[-10:].tolist()
