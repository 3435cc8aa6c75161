"""A sparse search finds what a look at every record finds, whether rows are in runs, in the tail or dead in either."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann import exact_sparse
from pinyon.engine import memtable as memtable_module
from pinyon.engine.memtable import Memtable
from pinyon.engine.run_keeper import built
from pinyon.engine.runs import Runs, Stretch
from pinyon.engine.search import frequencies, search
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.sparse_search import rows_with_all
from pinyon.engine.view import View
from pinyon.filter.parser import parse
from pinyon.model.metric import Metric
from pinyon.testing import engine_model
from pinyon.testing.engine_model import PlainRecord, batch, sparse_vector

TERMS = (0, 1, 2, 700, 2**32 - 1)


@pytest.fixture(params=["sorted", "added up"], autouse=True)
def small_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blocks of 16 rows, and either of the two ways in which hits become sums."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memtable_module, "block_rows", lambda _: 16)
        patch.setattr(exact_sparse, "_SORTED_HIT_COST", 0 if request.param == "sorted" else 10**9)
        yield


def plan(
    sparse: Mapping[int, float],
    top_k: int = 10,
    *,
    dense: Sequence[float] | None = None,
    limit: int | None = None,
    required: Sequence[int] | None = None,
) -> SearchPlan:
    return SearchPlan(
        metric=Metric.DOTPRODUCT,
        top_k=top_k,
        dense=None if dense is None else np.array(dense, np.float32),
        sparse=sparse_vector(sparse),
        filter=None if limit is None else parse({"number": {"$lt": limit}}),
        include_values=False,
        include_metadata=False,
        required_indices=None if required is None else np.array(required, np.uint32),
    )


class Records:
    """A memtable, the same records in a dict, and runs of the rows that were there at some moments."""

    def __init__(self, dimension: int | None = None) -> None:
        self.memtable = Memtable(dimension)
        self.plain: dict[str, PlainRecord] = {}
        self._lsn = 0

    def write(self, records: Mapping[str, PlainRecord]) -> None:
        self._lsn += 1
        self.memtable.upsert(batch(records), self._lsn)
        self.plain |= records

    def delete(self, ids: Sequence[str]) -> None:
        self._lsn += 1
        self.memtable.delete(ids, self._lsn)
        for id_ in ids:
            self.plain.pop(id_, None)

    def build_runs(self, cuts: Sequence[int]) -> None:
        """Runs of all rows there are, cut at these rows."""
        view = self.memtable.view(self._lsn)
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < view.end}), view.end]
        runs = [built(view, Stretch(start, end, 0)) for start, end in pairwise(edges)]
        self.memtable.runs = Runs(tuple(run for run in runs if run is not None), view.end)

    @property
    def view(self) -> View:
        return View(self._lsn, (self.memtable.view(self._lsn),))

    def check(self, wanted: SearchPlan) -> list[tuple[str, float]]:
        """Compare with a look at every record, and return what was found."""
        found = [(match.id, match.score) for match in search(self.view, wanted)]
        assert found == engine_model.search(self.plain, wanted)
        return found


halves = st.integers(-4, 4).map(lambda number: number / 2)
vectors = st.dictionaries(st.sampled_from(TERMS), halves, max_size=4)
writes = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 40), vectors), max_size=25), st.lists(st.integers(0, 40)))
)


@given(
    before=writes,
    after=writes,
    cuts=st.lists(st.integers(0, 100), max_size=3),
    query=st.dictionaries(st.sampled_from(TERMS), halves, min_size=1),
    top_k=st.sampled_from([1, 2, 5, 100]),
    limit=st.none() | st.integers(0, 40),
    required=st.none() | st.lists(st.sampled_from(TERMS), max_size=2),
    dense=st.none() | st.tuples(halves),
)
def test_runs_and_tail_and_what_died_in_either_are_one(before, after, cuts, query, top_k, limit, required, dense):
    records = Records(None if dense is None else 1)

    def carry_out(steps):
        for written, deleted in steps:
            fresh = {f"{number:02}": new_record(number, vector, dense) for number, vector in written}
            if fresh:
                records.write(fresh)
            records.delete([f"{number:02}" for number in deleted])

    carry_out(before)
    records.build_runs(cuts)
    carry_out(after)
    records.check(plan(query, top_k, dense=dense, limit=limit, required=required))
    wanted = np.array([*TERMS, 5, 0], np.uint32)
    assert (records.view.record_count, frequencies(records.view, wanted)) == engine_model.sparse_frequencies(
        records.plain, wanted.tolist()
    )


def new_record(number: int, vector: Mapping[int, float], dense: Sequence[float] | None) -> PlainRecord:
    return PlainRecord(None if dense is None else (number / 2,), vector, {"number": float(number)})


def test_the_best_rows_may_all_be_dead():
    records = Records()
    records.write({f"{number:03}": PlainRecord(None, {1: 100.0 + number, 2: 1.0}) for number in range(100)})
    records.build_runs([])
    records.delete([f"{number:03}" for number in range(5, 100)])
    assert [id_ for id_, _ in records.check(plan({1: 1.0, 2: 1.0}, 3))] == ["004", "003", "002"]
    assert len(records.check(plan({1: 1.0, 2: 1.0}, 10))) == 5


def test_the_best_rows_may_all_fail_the_filter_or_lack_what_is_required():
    records = Records()
    records.write(
        {
            f"{number:03}": PlainRecord(None, {1: 1.0 + number, 2 + number // 10: 1.0}, {"number": float(number)})
            for number in range(100)
        }
    )
    records.build_runs([])
    assert [id_ for id_, _ in records.check(plan({1: 1.0}, 3, limit=20))] == ["019", "018", "017"]
    assert [id_ for id_, _ in records.check(plan({1: 1.0}, 3, required=[4]))] == ["029", "028", "027"]
    assert [id_ for id_, _ in records.check(plan({1: 1.0}, 3, limit=22, required=[4, 1]))] == ["021", "020"]


def test_scores_that_are_equal_as_float32_come_by_id():
    """Rows whose exact scores differ only beyond float32 are told apart by their ids alone, in every part."""
    records = Records()
    for start in (0, 40):
        # The smaller the id, the smaller the exact score.
        vectors = {number: {1: 1.0, 2: 1e-10 * (number - 80)} for number in range(start, start + 40)}
        records.write({f"{number:02}": PlainRecord(None, vector) for number, vector in vectors.items()})
        if start == 0:
            records.build_runs([13])
    for top_k in (1, 5, 30, 79):
        assert records.check(plan({1: 1.0, 2: 1.0}, top_k)) == [(f"{number:02}", 1.0) for number in range(top_k)]


def test_equal_rows_have_equal_scores_in_every_part():
    rng = np.random.default_rng(5)
    vector = {int(term): float(np.float32(rng.standard_normal())) for term in rng.choice(2**32, 50, replace=False)}
    query = {term: float(np.float32(rng.standard_normal())) for term in vector}
    records = Records()
    for _ in range(3):
        ids = [f"{number:02}" for number in rng.permutation(60)[:40]]
        records.write({id_: PlainRecord(None, dict(sorted(vector.items(), key=lambda _: rng.random()))) for id_ in ids})
        if _ < 2:
            records.build_runs([20])
    found = [(match.id, match.score) for match in search(records.view, plan(query, 100))]
    assert [id_ for id_, _ in found] == sorted(records.plain)
    assert len({score for _, score in found}) == 1


def test_scores_of_any_sign_are_found():
    for sign in (1.0, -1.0):
        records = Records()
        records.write({f"{number:02}": PlainRecord(None, {1: sign * number}) for number in range(50)})
        records.build_runs([])
        assert len(records.check(plan({1: -1.0}, 7))) == 7
        assert len(records.check(plan({1: 0.0}, 100))) == 50


def test_a_query_of_no_index_finds_nothing_and_requiring_nothing_is_no_condition():
    records = Records()
    records.write({f"{number:02}": PlainRecord(None, {number % 3: 1.0}) for number in range(30)})
    nothing = dataclasses.replace(plan({1: 1.0}), sparse=engine_model.sparse_vector({1: 1.0}), required_indices=None)
    for _ in range(2):
        assert search(records.view, dataclasses.replace(nothing, sparse=empty_vector())) == []
        assert len(records.check(plan({1: 1.0}, required=[]))) == 10
        assert frequencies(records.view, np.zeros(0, np.uint32)) == []
        records.build_runs([])


def empty_vector():
    vector = sparse_vector({1: 1.0})
    assert vector is not None
    return dataclasses.replace(vector, indices=vector.indices[:0], values=vector.values[:0])


def test_required_indices_also_restrict_a_dense_search():
    records = Records(1)
    records.write({f"{number:02}": PlainRecord((1.0,), {number % 3: 1.0, 9: 0.0}) for number in range(60)})
    records.build_runs([30])
    assert len(records.check(plan({}, 100, dense=(1.0,), required=[2]))) == 20
    assert len(records.check(plan({1: 1.0}, 100, dense=(1.0,), required=[2, 9], limit=30))) == 0
    assert rows_with_all(records.view.memtables[0], np.array([2, 9, 9], np.uint32)).tolist() == list(range(2, 60, 3))
