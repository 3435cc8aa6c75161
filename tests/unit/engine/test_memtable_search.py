"""What a search over a memtable hands on: rows in their order, and exact scores, as a search over a part does."""

from typing import Any
from unittest import mock

import numpy as np
import pytest

from pinyon.ann import exact
from pinyon.ann.row_codes import encode_rows
from pinyon.engine.memtable import Memtable
from pinyon.engine.memtable_search import search_memtable
from pinyon.engine.search_plan import SearchPlan
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.metric import Metric
from pinyon.model.record import Float64s, Mask, RecordBatch, SparseVector
from pinyon.protobuf.struct import encode_metadata
from tests.unit.engine.searched_index import clustered, plan

BLOCK_ROWS = 2048
ROW_COUNT = 4 * BLOCK_ROWS + 100
DENSE = clustered(ROW_COUNT, 32)
QUERY = clustered(1, 32, seed=5)[0]
NUMBERS = np.arange(ROW_COUNT)
SPARSE = SparseVector(np.array([7], np.uint32), np.array([2], np.float32))
DEAD = NUMBERS % 3 == 0


def dots() -> Float64s:
    """What the sparse value adds to each row: of every fifth, and of no row of the second block."""
    found: Float64s = np.where(is_sparse(), 2.0 * (NUMBERS % 50), 0.0)
    return found


def is_sparse() -> Mask:
    found: Mask = (NUMBERS % 5 == 1) & (NUMBERS // BLOCK_ROWS != 1)
    return found


def new_memtable() -> Memtable:
    """Five blocks, the last not full; every third row is dead at LSN 2."""
    values = [
        SparseVector(np.array([7], np.uint32), np.array([number % 50], np.float32)) if has else None
        for number, has in zip(NUMBERS.tolist(), is_sparse().tolist(), strict=True)
    ]
    metadata = bytes_column([encode_metadata({"half": number % 2}) for number in NUMBERS.tolist()])
    with mock.patch("pinyon.engine.memtable.block_rows", return_value=BLOCK_ROWS):
        memtable = Memtable(DENSE.shape[1])
    memtable.upsert(RecordBatch([str(row) for row in NUMBERS.tolist()], DENSE, sparse_column(values), metadata), 1)
    memtable.delete([str(row) for row in np.flatnonzero(DEAD).tolist()], 2)
    return memtable


MEMTABLE = new_memtable()


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("lsn", [1, 2])
@pytest.mark.parametrize("top_k", [1, 10, 1000, 10_000])
def test_the_best_rows_come_in_their_order_with_exact_scores(metric: Metric, lsn: int, top_k: int) -> None:
    check(plan(QUERY, metric, top_k=top_k), NUMBERS >= 0, lsn)


@pytest.mark.parametrize("lsn", [1, 2])
@pytest.mark.parametrize("top_k", [1, 10, 1000, 10_000])
def test_what_sparse_values_add_counts(lsn: int, top_k: int) -> None:
    hybrid = plan(QUERY, Metric.DOTPRODUCT, top_k=top_k, sparse=SPARSE)
    check(hybrid, NUMBERS >= 0, lsn)
    check(plan(QUERY, Metric.DOTPRODUCT, top_k=top_k, sparse=SPARSE, filter=parse({"half": 1})), NUMBERS % 2 == 1, lsn)
    check(plan(QUERY, Metric.DOTPRODUCT, top_k=top_k, required_indices=SPARSE.indices), is_sparse(), lsn)


def check(wanted: SearchPlan, may: Mask, lsn: int) -> None:
    """Compare with exact scores of all rows that may be results."""
    hits = search_memtable(MEMTABLE.view(lsn), wanted)
    assert wanted.dense is not None
    goodness = exact.exact_goodness(DENSE, wanted.dense, wanted.metric)
    goodness += 0.0 if wanted.sparse is None else dots()
    rows = np.flatnonzero(may & ~DEAD if lsn == 2 else may)
    best = rows[exact.best_candidates(exact.to_float32(goodness[rows]), wanted.top_k, slack=0.0)]
    assert np.isin(best, hits.rows).all()
    assert np.isin(hits.rows, rows).all()
    assert (np.diff(hits.rows) > 0).all()
    np.testing.assert_array_equal(hits.goodness, goodness[hits.rows])


def test_of_many_blocks_only_the_best_of_all_are_scored_exactly() -> None:
    assert len(MEMTABLE.blocks) == 5
    assert 100 <= len(search_memtable(MEMTABLE.view(2), plan(QUERY, top_k=100)).rows) < 110


def test_rows_that_codes_choose_have_exact_scores() -> None:
    memtable = new_memtable()
    for block in list(memtable.blocks.values())[:-1]:
        assert block.dense is not None
        block.codes = encode_rows(block.dense.filled, block.squared_norms.filled, Metric.COSINE)
    hits = search_memtable(memtable.view(2), plan(QUERY))
    goodness = exact.exact_goodness(DENSE, QUERY, Metric.COSINE)
    np.testing.assert_array_equal(hits.goodness, goodness[hits.rows])
    assert not DEAD[hits.rows].any()
    assert hits.goodness.max() == goodness[~DEAD].max()


@pytest.mark.parametrize("fields", [{}, {"sparse": SPARSE}, {"required_indices": np.array([8], np.uint32)}])
def test_where_no_row_may_be_a_result_there_are_no_hits(fields: dict[str, Any]) -> None:
    for memtable in (Memtable(32), new_memtable()):
        nothing = plan(QUERY, Metric.DOTPRODUCT, filter=parse({"half": 9}), **fields)
        assert len(search_memtable(memtable.view(2), nothing).rows) == 0
