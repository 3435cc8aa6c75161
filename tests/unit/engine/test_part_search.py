"""A search over segments: exact where they are small, and near enough where estimates choose what is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pinyon.ann.effort import Effort
from pinyon.ann.quantised import Quantised
from pinyon.engine import part_efforts
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.view import View
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Float64s, Mask, RecordBatch, SparseColumn
from pinyon.protobuf.struct import encode_metadata
from pinyon.testing import engine_model
from pinyon.testing.engine_model import PlainRecord, batch, sparse_vector
from tests.unit.engine.searched_index import clustered, definition_of, new_database

ROWS = 6000
DIMENSION = 32
RARE, COMMON = 7, 11


def plan(
    metric: Metric,
    dense: Sequence[float] | Float32s | None,
    sparse: Mapping[int, float] | None = None,
    *,
    top_k: int = 10,
    condition: dict[str, Any] | None = None,
    required: Sequence[int] | None = None,
    **fields: Any,
) -> SearchPlan:
    return SearchPlan(
        metric=metric,
        top_k=top_k,
        dense=None if dense is None else np.array(dense, np.float32),
        sparse=sparse_vector(sparse or {}),
        filter=parse(condition or {}),
        include_values=False,
        include_metadata=False,
        required_indices=None if required is None else np.array(required, np.uint32),
        **fields,
    )


# Small segments.


class Filled:
    """Records in three flushes with dead rows in the first two, and the same records in a dict."""

    def __init__(self, metric: Metric, dedicated_rows_min: int) -> None:
        options = MaintenanceOptions(build=BuildOptions(dedicated_rows_min=dedicated_rows_min), graph_rows_min=0)
        self._database: Database = new_database(options)
        self.index: Index = self._database.create(definition_of(2, metric))
        self.plain: dict[str, PlainRecord] = {}
        self.metric = metric
        rng = np.random.default_rng(4)
        for first in (0, 60, 100):
            records = {f"{number:03}": self._record(number, rng) for number in range(first, first + 100)}
            gone = [f"{number:03}" for number in range(first + 80, first + 90)]
            self.index.write(UpsertRecords("other", batch(records)))
            self.index.write(UpsertRecords("n", batch(records)))
            self.index.write(DeleteRecords("n", gone))
            self.plain |= records
            for id_ in gone:
                del self.plain[id_]
            self.index.maintenance.flush()
        self.index.write(DeleteRecords("n", ["150", "010"]))
        del self.plain["150"], self.plain["010"]

    def _record(self, number: int, rng: np.random.Generator) -> PlainRecord:
        first, second = (rng.integers(-8, 9, 2) / 2).tolist()
        sparse = {} if number % 3 else {1: number / 2, 2 + number % 2: -1.0}
        return PlainRecord((first, second), sparse, {"number": float(number), "even": not number % 2})

    def check(self, wanted: SearchPlan) -> int:
        found = [(match.id, match.score) for match in self.index.search(self.index.read("n")[0], wanted)]
        assert found == engine_model.search(self.plain, wanted)
        return len(found)


@pytest.fixture(params=[1, 10_000], ids=["dedicated", "shared"])
def dedicated_rows_min(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.mark.parametrize("metric", Metric)
def test_small_segments_are_searched_exactly(metric: Metric, dedicated_rows_min: int) -> None:
    filled = Filled(metric, dedicated_rows_min)
    for top_k in (1, 10, 168, 1000):
        assert filled.check(plan(metric, (1, -2), top_k=top_k)) == min(top_k, len(filled.plain))
        assert filled.check(plan(metric, (0.5, 1), top_k=top_k, condition={"number": {"$lt": 50}})) <= 50
    assert filled.check(plan(metric, (0.5, 1), condition={"number": 1e9})) == 0
    assert filled.check(plan(metric, (0.5, 1), top_k=1000, required=[1, 2])) > 10
    assert filled.check(plan(metric, (0.5, 1), top_k=1000, required=[1], condition={"even": False})) > 10
    assert filled.check(plan(metric, (0.5, 1), required=[2, 3])) == 0


def test_sparse_values_count_exactly(dedicated_rows_min: int) -> None:
    filled = Filled(Metric.DOTPRODUCT, dedicated_rows_min)
    for top_k in (1, 10, 1000):
        for condition in (None, {"even": True}):
            for required in (None, [3], [1, 2]):
                options: dict[str, Any] = {"top_k": top_k, "condition": condition, "required": required}
                filled.check(plan(Metric.DOTPRODUCT, (1, 0.5), {1: 0.5, 2: 4.0, 99: 1.0}, **options))
                filled.check(plan(Metric.DOTPRODUCT, None, {1: 0.5, 3: -4.0}, **options))
    wanted = [3, 1, 99, 1]
    found = filled.index.sparse_frequencies(filled.index.read("n")[0], np.array(wanted, np.uint32))
    assert found == engine_model.sparse_frequencies(filled.plain, wanted)


# Large segments.


class Large:
    """One dedicated segment of many rows; every fourth row is dead, every third has sparse values."""

    def __init__(self, metric: Metric, *, tuned: bool, graph_rows_min: int = 0) -> None:
        self.metric = metric
        self.rows = clustered(ROWS, DIMENSION)
        if metric is not Metric.COSINE:
            self.rows *= np.random.default_rng(2).lognormal(0, 0.3, (ROWS, 1)).astype(np.float32)
        self.queries = clustered(30, DIMENSION, seed=3)
        self.alive = np.arange(ROWS) % 4 != 1
        self.sparse = np.zeros((ROWS, 2))
        self.sparse[::3, 0] = np.arange(0, ROWS, 3) % 50
        self.sparse[:60:3, 1] = 40
        options = MaintenanceOptions(build=BuildOptions(dedicated_rows_min=500), graph_rows_min=graph_rows_min)
        self._database = new_database(options)
        self.index = self._database.create(definition_of(DIMENSION, metric))
        metadata = bytes_column([encode_metadata({"number": float(row)}) for row in range(ROWS)])
        counts = (self.sparse != 0).sum(axis=1)
        column = SparseColumn(
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            np.tile(np.array([COMMON, RARE], np.uint32), (ROWS, 1))[self.sparse != 0],
            self.sparse[self.sparse != 0].astype(np.float32),
        )
        ids = [str(row) for row in range(ROWS)]
        self.index.write(UpsertRecords("n", RecordBatch(ids, self.rows, column, metadata)))
        self.index.maintenance.flush()
        if tuned:
            self.index.maintenance.settle()
        self.before = self.index.read("n")[0]
        self.index.write(DeleteRecords("n", [str(row) for row in np.flatnonzero(~self.alive)]))
        (live,) = self.index._state.store.segments.values()
        assert live.structures is not None
        assert live.row_count == ROWS

    def scores(self, query: Float32s, sparse: Sequence[float] = (0, 0)) -> Float64s:
        """Of all rows, in float64; larger is better."""
        rows, wide = self.rows.astype(np.float64), query.astype(np.float64)
        if self.metric is Metric.EUCLIDEAN:
            distances: Float64s = ((rows - wide) ** 2).sum(axis=1)
            return -distances
        dots: Float64s = rows @ wide
        if self.metric is Metric.COSINE:
            dots /= np.linalg.norm(rows, axis=1) * np.linalg.norm(wide)
        dots += self.sparse @ np.array(sparse)
        return dots

    def recall(
        self,
        *,
        view: View | None = None,
        may: Mask | None = None,
        top_k: int = 10,
        sparse: Sequence[float] = (0, 0),
        **options: Any,
    ) -> float:
        """The share of the true best of `may` that is found; all that is found may be, once, with its true score."""
        allowed = self.alive if may is None else may
        wanted_sparse = {COMMON: sparse[0], RARE: sparse[1]} if any(sparse) else None
        shares = []
        for query in self.queries:
            wanted = plan(self.metric, query, wanted_sparse, top_k=top_k, **options)
            matches = self.index.search(view or self.index.read("n")[0], wanted)
            found = [int(match.id) for match in matches]
            scores = self.scores(query, sparse)
            sign = 1 if self.metric.higher_is_better else -1
            assert allowed[found].all()
            assert len(set(found)) == len(found) == min(top_k, int(allowed.sum()))
            np.testing.assert_allclose([sign * match.score for match in matches], scores[found], rtol=1e-5, atol=1e-5)
            best = np.argsort(np.where(allowed, -scores, np.inf), kind="stable")[:top_k]
            shares.append(np.isin(best, found).mean() if len(found) == top_k else 1.0)
        return float(np.mean(shares))


@pytest.fixture(scope="module", params=Metric)
def large(request: pytest.FixtureRequest) -> Large:
    return Large(request.param, tuned=True)


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each search by estimates."""
    calls: list[int] = []
    candidates = Quantised.candidates

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return candidates(*arguments, **options)

    monkeypatch.setattr(Quantised, "candidates", counted)
    return calls


def test_estimates_find_the_nearest_living_rows(large: Large, estimates: list[int]) -> None:
    assert large.recall() > 0.95
    assert large.recall(top_k=1) > 0.9
    assert large.recall(top_k=100) > 0.95
    assert len(estimates) >= 90


def test_estimates_find_the_nearest_rows_before_efforts_are_known(estimates: list[int]) -> None:
    for metric in Metric:
        assert Large(metric, tuned=False).recall() > 0.95
    assert len(estimates) >= 90


def test_a_view_from_before_finds_what_died_since(large: Large) -> None:
    assert large.recall(view=large.before, may=np.ones(ROWS, np.bool_)) > 0.95


def test_all_rows_are_looked_at_where_everything_is_to_be_found(large: Large, estimates: list[int]) -> None:
    assert large.recall(target_recall=1.0) == 1
    assert not estimates


@pytest.mark.parametrize("limit", [100, 3000, 4000])
def test_filters_leave_the_nearest_of_those_that_match(large: Large, limit: int, estimates: list[int]) -> None:
    may = large.alive & (np.arange(ROWS) < limit)
    recall = large.recall(may=may, condition={"number": {"$lt": limit}})
    assert recall > 0.95
    assert bool(estimates) is (limit > 100), "few rows are all scored"
    assert limit > 100 or recall == 1


def test_a_graph_finds_the_nearest_of_those_that_live_and_match(estimates: list[int]) -> None:
    large = Large(Metric.COSINE, tuned=True, graph_rows_min=1000)
    may = large.alive & (np.arange(ROWS) < 4000)
    estimates.clear()
    assert large.recall() > 0.95
    assert large.recall(may=may, condition={"number": {"$lt": 4000}}) > 0.95
    assert large.recall(may=large.alive & (large.sparse[:, 0] != 0), required=[COMMON]) > 0.95
    assert large.recall(view=large.before, may=np.ones(ROWS, np.bool_)) > 0.95
    assert len(estimates) < 30, "else it is not the graph that finds them"
    large.recall(top_k=int(large.alive.sum()) - 1)


@pytest.mark.parametrize("graph_rows_min", [0, 1000])
def test_where_half_of_the_near_rows_died_or_do_not_match_others_are_looked_for(graph_rows_min: int) -> None:
    rows, rng = clustered(ROWS, DIMENSION), np.random.default_rng(5)
    near = np.argsort(-(rows / np.linalg.norm(rows, axis=1)[:, None] @ rows[0]))[:600]
    gone = near[rng.random(600) < 0.5]
    options = MaintenanceOptions(build=BuildOptions(dedicated_rows_min=500), graph_rows_min=graph_rows_min)
    index = new_database(options).create(definition_of(DIMENSION))
    metadata = bytes_column([encode_metadata({"stays": stays}) for stays in (~np.isin(np.arange(ROWS), gone)).tolist()])
    index.write(UpsertRecords("n", RecordBatch([str(row) for row in range(ROWS)], rows, None, metadata)))
    index.maintenance.settle()
    before = index.read("n")[0]
    index.write(DeleteRecords("n", [str(row) for row in gone]))
    queries = rows[near[:200:5]] + 0.3 * rng.standard_normal((40, DIMENSION), dtype=np.float32)
    for view, condition in ((index.read("n")[0], {}), (before, {"stays": True})):
        shares = []
        for query in queries:
            asked = plan(Metric.COSINE, query, condition=condition, target_recall=0.9)
            found, truth = (index.search(view, each) for each in (asked, replace(asked, target_recall=1.0)))
            shares.append(len({match.id for match in found} & {match.id for match in truth}) / 10)
        assert np.mean(shares) >= 0.97


def test_required_indices_leave_the_nearest_of_those_that_have_them(large: Large) -> None:
    assert large.recall(may=large.alive & (large.sparse[:, 0] != 0), required=[COMMON]) > 0.95
    assert large.recall(may=large.alive & (large.sparse != 0).all(axis=1), required=[RARE, COMMON]) == 1


def test_as_many_are_found_as_there_are(large: Large) -> None:
    may = large.alive & (np.arange(ROWS) < 1000)
    large.recall(may=may, top_k=2000, condition={"number": {"$lt": 1000}})
    large.recall(top_k=10_000)
    large.recall(top_k=int(large.alive.sum()) - 1)


@pytest.mark.parametrize("weights", [(0.0, 0.01), (0.01, 0.0), (1.0, 0.0), (0.5, 0.5), (5.0, 5.0), (-1.0, 1.0)])
def test_both_parts_of_a_hybrid_query_choose_what_is_scored(weights: tuple[float, float]) -> None:
    large = Large(Metric.DOTPRODUCT, tuned=True)
    assert large.recall(sparse=weights) > 0.95
    assert (
        large.recall(sparse=weights, may=large.alive & (np.arange(ROWS) < 4000), condition={"number": {"$lt": 4000}})
        > 0.95
    )


def test_too_little_effort_is_seen(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker notices a search that scores hardly more than it returns."""
    monkeypatch.setattr(part_efforts, "_effort", lambda *_: Effort(pool=1, probes=1))
    monkeypatch.setattr(part_efforts, "_POOL_SHARE", 1)
    assert large.recall() < 0.9
