"""Sparse dot products are those of the two dicts, and do not depend on where a row lies."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann import exact_sparse
from pinyon.ann.exact_sparse import rows_with_all, sparse_dots, sparse_query
from pinyon.ann.postings import PostingLists, ScannedRows, postings_of
from pinyon.model.batches import sparse_column
from pinyon.model.record import SparseColumn, SparseVector
from pinyon.testing.engine_model import sparse_vector

TERMS = [0, 1, 2, 3, 2**31, 2**32 - 1]
Maker = Callable[[SparseColumn], PostingLists]
MAKERS: list[Maker] = [postings_of, ScannedRows]

quarters = st.integers(-8, 8).map(lambda number: number / 4)
vectors = st.dictionaries(st.sampled_from(TERMS), quarters)


@pytest.fixture(params=["sorted", "added up"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Either of the two ways in which hits become sums, whatever the number of hits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_sparse, "_SORTED_HIT_COST", 0 if request.param == "sorted" else 10**9)
        yield request.param


def column(rows: Sequence[Mapping[int, float]]) -> SparseColumn:
    empty = SparseColumn(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
    return sparse_column([sparse_vector(row) for row in rows]) or empty


def vector(entries: Mapping[int, float]) -> SparseVector:
    return sparse_vector(entries) or SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))


def found(postings: PostingLists, query: Mapping[int, float]) -> dict[int, float]:
    rows, dots = sparse_dots(postings, sparse_query(vector(query)))
    assert (np.diff(rows) > 0).all()
    assert rows.dtype == np.int64
    assert dots.dtype == np.float64
    return dict(zip(rows.tolist(), dots.tolist(), strict=True))


@pytest.mark.parametrize("make", MAKERS)
@given(rows=st.lists(vectors, max_size=8), query=vectors)
def test_rows_that_share_a_term_get_the_dot_product_of_dicts(
    make: Maker, rows: list[dict[int, float]], query: dict[int, float]
) -> None:
    assert found(make(column(rows)), query) == {
        number: sum(row[term] * query[term] for term in row.keys() & query.keys())
        for number, row in enumerate(rows)
        if row.keys() & query.keys()
    }


@pytest.mark.parametrize("make", MAKERS)
def test_an_overlap_may_add_up_to_nothing(make: Maker) -> None:
    rows = column([{1: 1.0, 2: -1.0}, {3: 1.0}, {1: 0.0}])
    assert found(make(rows), {2: 1.0, 1: 1.0}) == {0: 0, 2: 0}
    positive = column([{1: 1.0, 2: 1.0}, {3: 1.0}, {1: 1.0}])
    assert found(make(positive), {2: -1.0, 1: 1.0}) == {0: 0, 2: 1}
    assert found(make(positive), {1: 0.0}) == {0: 0, 2: 0}


@pytest.mark.parametrize("make", MAKERS)
def test_numbers_beyond_float32_are_summed_in_float64(make: Maker) -> None:
    dots = found(make(column([{1: 3e38, 2: 3e38}, {1: 1e-45}])), {1: 3e38, 2: 3e38})
    np.testing.assert_allclose(dots[0], 1.8e77, rtol=1e-6)
    tiny = found(make(column([{1: 1e-45}])), {1: 1e-45})
    assert tiny[0] > 0


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_equal_rows_get_equal_sums_to_the_last_bit_wherever_they_are(seed: int, term_count: int) -> None:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(1000, term_count, replace=False).tolist()
    row = {term: float(np.float32(rng.standard_normal())) for term in chosen}
    query = {term: float(np.float32(rng.standard_normal())) for term in rng.permutation(chosen).tolist()}
    shuffled = {term: row[term] for term in rng.permutation(chosen).tolist()}
    sums = set()
    for make in MAKERS:
        for rows in ([row], [{2000: 1.0}, shuffled, {}, row]):
            sums |= set(found(make(column(rows)), query).values())
    assert len(sums) == 1


@pytest.mark.parametrize("make", MAKERS)
@given(rows=st.lists(vectors, max_size=8), query=vectors, floor=st.sampled_from([0.0, 0.25, 1.0, 2.5]))
def test_a_floor_leaves_out_nothing_that_reaches_it(
    make: Maker, rows: list[dict[int, float]], query: dict[int, float], floor: float
) -> None:
    postings = make(column(rows))
    everything = found(postings, query)
    kept, dots = sparse_dots(postings, sparse_query(vector(query)), lambda lists, dots: floor)
    kept_dots = dict(zip(kept.tolist(), dots.tolist(), strict=True))
    assert kept_dots.items() <= everything.items()
    assert all(row in kept_dots for row, dot in everything.items() if dot >= floor)


def test_a_floor_is_asked_for_with_all_sums_known(way: str) -> None:
    asked: list[tuple[list[int], list[float]]] = []

    def floor(lists, dots):
        asked.append(([len(each.rows) for each in lists], dots.tolist()))
        return 2.0

    rows, _ = sparse_dots(
        postings_of(column([{1: 1.0}, {1: 2.0, 2: 1.0}, {}])), sparse_query(vector({1: 1, 2: 1})), floor
    )
    if way == "added up":
        assert asked == [([2, 1], [1.0, 3.0, 0.0])]
        assert rows.tolist() == [1]


@pytest.mark.parametrize("make", MAKERS)
@given(rows=st.lists(vectors, max_size=8), wanted=st.sets(st.sampled_from([*TERMS, 7]), min_size=1))
def test_rows_with_all_terms_lack_none(make: Maker, rows: list[dict[int, float]], wanted: set[int]) -> None:
    terms = np.array(sorted(wanted), np.uint32)
    assert rows_with_all(make(column(rows)), terms).tolist() == [
        number for number, row in enumerate(rows) if wanted <= row.keys()
    ]
