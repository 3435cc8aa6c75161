"""A block gives back the rows that were put in, and shows each view what it saw."""

from collections.abc import Mapping

import numpy as np
import pytest

from pinyon.engine.block import Block, block_rows
from pinyon.model.batches import squared_norms
from pinyon.model.record import RecordBatch
from pinyon.testing.engine_model import PlainRecord, batch, plain_record

RECORDS: Mapping[str, PlainRecord] = {
    "a": PlainRecord((1, 2), {7: 0.5, 3: -1.0}, {"genre": "drama"}),
    "b": PlainRecord((3, 4)),
    "c": PlainRecord((0, -1), {2**32 - 1: 2.0}),
    "d": PlainRecord((5, 5), {}, {"year": 2020.0, "tags": ["x", ""], "ok": True}),
}


def filled_block(*parts: slice, records: RecordBatch | None = None) -> Block:
    block = Block(2, capacity=0)
    for part in parts:
        block.append(records or batch(RECORDS), part)
    return block


@pytest.mark.parametrize("parts", [[slice(0, 4)], [slice(0, 1), slice(1, 4)], [slice(0, 2), slice(2, 2), slice(2, 4)]])
def test_rows_come_back_whatever_the_parts_were(parts: list[slice]) -> None:
    block = filled_block(*parts)
    assert block.row_count == 4
    assert {block.record(row).id: plain_record(block.record(row)) for row in range(4)} == RECORDS


def test_rows_without_sparse_values_and_metadata_stand_beside_such_with() -> None:
    bare = {id_: PlainRecord(record.dense) for id_, record in RECORDS.items()}
    block = Block(2, capacity=8)
    for records in (bare, RECORDS, bare):
        block.append(batch(records), slice(0, 4))
    found = [plain_record(block.record(row)) for row in range(12)]
    assert found == [*bare.values(), *RECORDS.values(), *bare.values()]
    assert block.sparse(1) is None


def test_a_block_without_dense_vectors() -> None:
    block = Block(None, capacity=8)
    records = {"a": PlainRecord(None, {1: 2.0}), "b": PlainRecord(None, {5: 1.0}, {"k": "v"})}
    block.append(batch(records), slice(0, 2))
    assert [plain_record(block.record(row)) for row in range(2)] == list(records.values())


def test_a_view_sees_the_rows_that_died_after_it() -> None:
    block = filled_block(slice(0, 4))
    assert block.alive(4, 10) is None
    block.mark_dead(np.array([1]), 11)
    block.mark_dead(np.array([0, 2]), 13)
    masks = {lsn: block.alive(4, lsn) for lsn in range(10, 15)}
    seen = {lsn: np.flatnonzero(mask).tolist() for lsn, mask in masks.items() if mask is not None}
    assert seen == {10: [0, 1, 2, 3], 11: [0, 2, 3], 12: [0, 2, 3], 13: [3], 14: [3]}
    assert block.alive_rows().tolist() == [3]
    assert block.dead_count == 3


def test_a_view_sees_no_row_beyond_its_count() -> None:
    block = filled_block(slice(0, 4))
    block.mark_dead(np.array([3]), 5)
    mask = block.alive(2, 9)
    assert mask is not None
    assert mask.tolist() == [True, True]


def test_size_counts_dead_rows_too() -> None:
    block = filled_block(slice(0, 4))
    vectors, sparse, ids = 4 * 2 * 4, 3 * 8, 4
    expected = vectors + sparse + ids + sum(len(block.metadata.row(row)) for row in range(4))
    assert block.size_bytes == expected
    block.mark_dead(np.array([0]), 5)
    assert block.size_bytes == expected


@pytest.mark.parametrize("magnitude", [1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e18, 1e19, 1e30, 3e38])
def test_squared_norms_are_right_over_the_whole_range_of_float32(magnitude: float) -> None:
    rows = np.array([[1, 0, 0], [1, -1, 0.5], [0, 0, 0], [1, 1, 1]], np.float32) * np.float32(magnitude)
    expected = [sum(float(number) ** 2 for number in row) for row in rows.tolist()]
    np.testing.assert_allclose(squared_norms(rows), expected, rtol=1e-6, atol=0)


def test_rows_of_any_magnitude_stand_side_by_side() -> None:
    rows = np.array([[1e-30], [2.0], [1e30]], np.float32)
    np.testing.assert_allclose(squared_norms(rows), [1e-60, 4.0, 1e60], rtol=1e-6)


@pytest.mark.parametrize("dimension", [None, 1, 2, 384, 1536, 20_000])
def test_blocks_have_a_power_of_two_of_rows_within_bounds(dimension: int | None) -> None:
    rows = block_rows(dimension)
    assert rows & (rows - 1) == 0
    assert 256 <= rows <= 16_384
    assert rows * 4 * (dimension or 1) <= 32 * 2**20
