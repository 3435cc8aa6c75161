"""A search over any float32 numbers finds the best rows: none that it leaves out is better than one that it shows."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinyon.engine.memtable import Memtable
from pinyon.engine.search import search
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.metric import Metric
from pinyon.testing.engine_model import PlainRecord, batch, score, sparse_vector

DIMENSION = 3
FLOAT32_MAX = float(np.finfo(np.float32).max)

any_number = st.floats(-FLOAT32_MAX, FLOAT32_MAX, width=32)
few_numbers = st.sampled_from([0.0, 1.0, -1.0, 1 + 2**-23, 2.0**-100, 2.0**100, 2.0**-40, -FLOAT32_MAX])
numbers = st.one_of(any_number, few_numbers)
dense_vectors = st.tuples(*[numbers] * DIMENSION)
sparse_vectors = st.dictionaries(st.integers(0, 3), numbers, max_size=3)


@given(
    metric=st.sampled_from(list(Metric)),
    rows=st.lists(st.tuples(dense_vectors, sparse_vectors), min_size=1, max_size=20),
    query=st.tuples(dense_vectors, sparse_vectors),
    top_k=st.integers(1, 25),
    rows_in_a_block=st.sampled_from([1, 4, 32]),
)
def test_no_row_left_out_is_better_than_one_shown(
    metric: Metric,
    rows: list[tuple[tuple[float, ...], dict[int, float]]],
    query: tuple[tuple[float, ...], dict[int, float]],
    top_k: int,
    rows_in_a_block: int,
) -> None:
    hybrid = metric is Metric.DOTPRODUCT
    records = {f"{n:02}": PlainRecord(dense, sparse) for n, (dense, sparse) in enumerate(rows)}
    plan = SearchPlan(
        metric=metric,
        top_k=top_k,
        dense=np.array(query[0], np.float32),
        sparse=sparse_vector(query[1]) if hybrid else None,
        filter=None,
        include_values=False,
        include_metadata=False,
    )
    with mock.patch("pinyon.engine.memtable.block_rows", return_value=rows_in_a_block):
        memtable = Memtable(DIMENSION)
    memtable.upsert(batch(records), 1)
    matches = search(View(1, (memtable.view(1),)), plan)
    expected = {id_: clipped(score(record, plan)) for id_, record in records.items()}
    sign = 1 if metric.higher_is_better else -1

    assert len(matches) == min(top_k, len(records))
    assert [match.id for match in matches] == [
        match.id for match in sorted(matches, key=lambda match: (-sign * match.score, match.id))
    ]
    allowed = {id_: tolerance(record, query, plan) for id_, record in records.items()}
    for match in matches:
        assert abs(match.score - expected[match.id]) <= allowed[match.id]
    worst = min(sign * match.score for match in matches)
    for id_ in records.keys() - {match.id for match in matches}:
        assert sign * expected[id_] <= worst + allowed[id_]


def clipped(number: float) -> float:
    return min(max(number, -FLOAT32_MAX), FLOAT32_MAX)


def tolerance(record: PlainRecord, query: tuple[tuple[float, ...], dict[int, float]], plan: SearchPlan) -> float:
    """One rounding to float32 of the score, and those in float64 of the terms that it is summed from."""
    terms = [a * b for a, b in zip(record.dense or (), query[0], strict=True)]
    terms += [record.sparse.get(index, 0.0) * value for index, value in query[1].items()]
    if plan.metric is Metric.EUCLIDEAN:
        terms = [(a - b) ** 2 for a, b in zip(record.dense or (), query[0], strict=True)]
    if plan.metric is Metric.COSINE:
        terms = [1.0]
    rounded = 2.0**-23 * abs(clipped(score(record, plan))) + 2.0**-148
    return rounded + 2.0**-49 * sum(map(abs, terms))
