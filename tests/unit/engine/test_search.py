"""A search finds what brute force in float64 finds, in the same order, whatever the numbers."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.engine import memtable as memtable_module
from pinyon.engine.matching import matching_places
from pinyon.engine.memtable import Memtable
from pinyon.engine.places import ids_of
from pinyon.engine.search import search
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.filter.parser import parse
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Match
from pinyon.testing import engine_model
from pinyon.testing.engine_model import PlainRecord, batch, plain_record, sparse_vector

FLOAT32_MAX = float(np.finfo(np.float32).max)
Records = Mapping[str, PlainRecord]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable_module, "block_rows", lambda _: 16)


def view_of(records: Records) -> View:
    """The records in blocks of 16 rows, with dead rows among them."""
    dimension = next((len(record.dense) for record in records.values() if record.dense is not None), None)
    memtable = Memtable(dimension)
    memtable.upsert(batch(records), 1)
    memtable.upsert(batch(dict(list(records.items())[::3])), 2)
    return View(2, (memtable.view(2),))


def plan(
    metric: Metric,
    dense: Sequence[float] | Float32s | None = None,
    sparse: Mapping[int, float] | None = None,
    *,
    top_k: int = 10,
    condition: Mapping[str, object] | None = None,
) -> SearchPlan:
    return SearchPlan(
        metric=metric,
        top_k=top_k,
        dense=None if dense is None else np.array(dense, np.float32),
        sparse=sparse_vector(sparse or {}),
        filter=parse(dict(condition or {})),
        include_values=False,
        include_metadata=False,
    )


def random_records(count: int, dimension: int, seed: int = 1, scale: float = 1.0) -> dict[str, PlainRecord]:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dimension)).astype(np.float32) * np.float32(scale)
    return {
        f"id{number}": PlainRecord(
            tuple(row.tolist()),
            {int(number % 5): 0.5, 9: float(number)},
            {"number": float(number), "even": not number % 2},
        )
        for number, row in enumerate(rows)
    }


def pairs(matches: Sequence[Match]) -> list[tuple[str, float]]:
    return [(match.id, match.score) for match in matches]


def check(records: Records, wanted: SearchPlan) -> list[tuple[str, float]]:
    """Compare with brute force, and return what was found."""
    found = pairs(search(view_of(records), wanted))
    expected = engine_model.search(records, wanted)
    assert [id_ for id_, _ in found] == [id_ for id_, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], rtol=1e-6, atol=0)
    return found


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("top_k", [1, 10, 99, 100, 101, 10_000])
@pytest.mark.parametrize("dimension", [1, 2, 31])
def test_dense_search_is_brute_force(metric: Metric, top_k: int, dimension: int) -> None:
    records = random_records(100, dimension)
    assert len(check(records, plan(metric, random_records(1, dimension, seed=2)["id0"].dense, top_k=top_k))) == min(
        top_k, 100
    )


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e-12, 1e-6, 1e6, 1e15, 1e18])
@pytest.mark.parametrize("query_scale", [1e-30, 1.0, 1e18])
def test_magnitudes_do_not_change_what_is_found(metric: Metric, scale: float, query_scale: float) -> None:
    records = random_records(60, 4, scale=scale)
    query = random_records(1, 4, seed=2, scale=query_scale)["id0"].dense
    found = check(records, plan(metric, query, top_k=20))
    assert len(found) == 20


def test_a_huge_row_hides_no_small_ones() -> None:
    records = random_records(40, 3, scale=1e-3) | {
        "huge": PlainRecord((1e30, 0, 0)),
        "tiny": PlainRecord((1e-30, 0, 0)),
    }
    for metric in Metric:
        check(records, plan(metric, (1, 1, 1), top_k=20))
        check(records, plan(metric, (-1, 1e-3, 0), top_k=20))


@pytest.mark.parametrize("metric", Metric)
def test_scores_beyond_float32_are_finite_and_nothing_is_lost(metric: Metric) -> None:
    far = (FLOAT32_MAX, FLOAT32_MAX)
    records = {"a": PlainRecord(far), "b": PlainRecord((-far[0], -far[1])), "c": PlainRecord((1e30, 0))}
    found = check(records, plan(metric, far))
    assert len(found) == 3
    assert all(np.isfinite(score) for _, score in found)


@pytest.mark.parametrize("dense", [None, (1.0,)])
def test_sparse_scores_beyond_float32_are_finite_and_nothing_is_lost(dense: tuple[float] | None) -> None:
    records = {
        "plus": PlainRecord(dense, {1: 1e30}),
        "minus": PlainRecord(dense, {1: -1e30}),
        "one": PlainRecord(dense, {1: 1.0}),
    }
    for top_k in (1, 2, 3, 10):
        found = check(records, plan(Metric.DOTPRODUCT, dense, {1: 1e30}, top_k=top_k))
        assert [id_ for id_, _ in found] == ["plus", "one", "minus"][:top_k]
        assert found[0][1] == FLOAT32_MAX


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("top_k", [1, 7, 20, 50])
def test_equal_vectors_have_equal_scores_and_come_by_id(metric: Metric, top_k: int) -> None:
    rng = np.random.default_rng(3)
    twin = tuple(rng.standard_normal(301).astype(np.float32).tolist())
    records = {f"twin{rng.integers(10**9)}": PlainRecord(twin) for _ in range(60)}
    for number in range(20):
        records[f"other{number}"] = PlainRecord(tuple(rng.standard_normal(301).astype(np.float32).tolist()))
    query = rng.standard_normal(301).astype(np.float32) + 0.3 * np.array(twin, np.float32)
    found = pairs(search(view_of(records), plan(metric, query, top_k=top_k)))
    scores = [score for id_, score in found if id_.startswith("twin")]
    assert len(set(scores)) == 1
    assert found == sorted(found, key=lambda match: (-match[1] if metric.higher_is_better else match[1], match[0]))
    ids = [id_ for id_, _ in found if id_.startswith("twin")]
    assert ids == sorted(id_ for id_ in records if id_.startswith("twin"))[: len(ids)]


@pytest.mark.parametrize("metric", Metric)
def test_scores_that_differ_in_the_last_bit_of_float32_are_told_apart(metric: Metric) -> None:
    """The first pass cannot; the second must."""
    base = np.random.default_rng(4).standard_normal(512).astype(np.float32)
    records = {}
    for number in range(100):
        row = base.copy()
        row[number] *= np.float32(1 + 1e-6 * (number - 50))
        records[f"id{number:03}"] = PlainRecord(tuple(row.tolist()))
    for top_k in (1, 5, 50):
        found = pairs(search(view_of(records), plan(metric, base, top_k=top_k)))
        expected = engine_model.search(records, plan(metric, base, top_k=top_k))
        np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], rtol=1e-6)
        if metric is not Metric.COSINE:
            assert found == expected


@pytest.mark.parametrize("metric", Metric)
def test_a_zero_query_finds_records(metric: Metric) -> None:
    records = random_records(30, 3)
    found = check(records, plan(metric, (0, 0, 0), top_k=5))
    if metric is not Metric.EUCLIDEAN:
        assert found == [(id_, 0.0) for id_ in sorted(records)[:5]]
        assert all(str(score) == "0.0" for _, score in found)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("matching", [0, 1, 3, 30, 99, 100])
def test_a_filter_leaves_the_best_of_those_that_match(metric: Metric, matching: int) -> None:
    records = random_records(100, 8)
    wanted = plan(metric, records["id50"].dense, top_k=10, condition={"number": {"$lt": matching}})
    assert len(check(records, wanted)) == min(10, matching)


@given(st.integers(0, 100), st.booleans(), st.integers(1, 120), st.sampled_from(list(Metric)))
def test_any_filter_and_top_k(limit: int, even: bool, top_k: int, metric: Metric) -> None:
    check(RECORDS, plan(metric, RECORDS["id7"].dense, top_k=top_k, condition={"number": {"$lt": limit}, "even": even}))


RECORDS = random_records(100, 5)


def test_a_sparse_search_finds_only_rows_that_share_an_index() -> None:
    records = {
        "both": PlainRecord(None, {1: 1.0, 2: 2.0}),
        "one": PlainRecord(None, {2: 2.0}),
        "cancels": PlainRecord(None, {1: 2.0, 2: -1.0}),
        "negative": PlainRecord(None, {1: -1.0}),
        "none": PlainRecord(None, {3: 9.0}),
    }
    found = check(records, plan(Metric.DOTPRODUCT, None, {1: 1.0, 2: 2.0}))
    assert found == [("both", 5.0), ("one", 4.0), ("cancels", 0.0), ("negative", -1.0)]
    assert check(records, plan(Metric.DOTPRODUCT, None, {7: 1.0})) == []


@pytest.mark.parametrize("top_k", [1, 5, 1000])
def test_a_sparse_search_is_brute_force(top_k: int) -> None:
    records = {id_: PlainRecord(None, record.sparse, record.metadata) for id_, record in random_records(80, 1).items()}
    check(records, plan(Metric.DOTPRODUCT, None, {9: 1.0, 3: 100.0}, top_k=top_k))
    check(records, plan(Metric.DOTPRODUCT, None, {2: 1.0}, top_k=top_k, condition={"even": True}))


@pytest.mark.parametrize("top_k", [1, 5, 1000])
@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e6])
def test_a_hybrid_search_adds_both_parts_and_finds_rows_without_a_shared_index(top_k: int, weight: float) -> None:
    records = random_records(80, 16)
    query = random_records(1, 16, seed=2)["id0"].dense
    assert len(check(records, plan(Metric.DOTPRODUCT, query, {3: weight, 1000: 1.0}, top_k=top_k))) == min(top_k, 80)


def test_a_hybrid_score_is_exact_where_the_parts_cancel() -> None:
    records = {f"id{number}": PlainRecord((1000.0 + number / 1024,), {1: -1000.0}) for number in range(40)}
    found = check(records, plan(Metric.DOTPRODUCT, (1.0,), {1: 1.0}, top_k=5))
    assert found == [(f"id{number}", number / 1024) for number in (39, 38, 37, 36, 35)]


def test_matches_carry_what_was_asked_for() -> None:
    records = {"a": PlainRecord((1, 2), {3: 4.0}, {"k": "v"})}
    wanted = plan(Metric.COSINE, (1, 2))
    for values in (True, False):
        for metadata in (True, False):
            asked = dataclasses.replace(wanted, include_values=values, include_metadata=metadata)
            (match,) = search(view_of(records), asked)
            assert plain_record(match) == engine_model.shown(records["a"], asked)


def test_an_empty_view_has_no_matches() -> None:
    assert search(View(1, ()), plan(Metric.COSINE, (1,))) == []
    memtable = Memtable(1)
    memtable.upsert(batch({"a": PlainRecord((1,))}), 1)
    memtable.delete(["a"], 2)
    assert search(View(2, (memtable.view(2),)), plan(Metric.COSINE, (1,))) == []


def test_rows_that_match_a_filter_are_the_living_ones() -> None:
    condition = parse({"even": True})
    assert condition is not None
    found = ids_of(matching_places(view_of(RECORDS), condition))
    assert sorted(found) == engine_model.matching_ids(RECORDS, condition)
