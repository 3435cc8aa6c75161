"""Runs stay few, and a value is built anew only a few times."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann.postings import postings_of
from pinyon.engine.runs import GROWTH, NO_RUNS, Run, RunOptions, Runs, Stretch, Tally, merged
from pinyon.model.record import SparseColumn


def run(first_row: int, row_count: int, values_per_row: int = 1) -> Run:
    offsets = np.arange(row_count + 1) * values_per_row
    indices = np.tile(np.arange(values_per_row, dtype=np.uint32), row_count)
    column = SparseColumn(offsets, indices, np.ones(len(indices), np.float32))
    return Run(np.arange(first_row, first_row + row_count), postings_of(column))


def stretches(*value_counts: int) -> list[Run | Stretch]:
    ends = np.cumsum(value_counts).tolist()
    return [Stretch(end - count, end, count) for count, end in zip(value_counts, ends, strict=True)]


def counts(pieces: list[Run | Stretch]) -> list[int]:
    return [piece.stretch.value_count for piece in pieces]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([5], [5]),
        ([100, 10], [100, 10]),
        ([30, 10], [40]),
        ([100, 30, 10], [140]),
        ([1000, 30, 10], [1000, 40]),
        ([10, 400], [410]),
        ([800, 10, 400, 50], [1210, 50]),
        ([1500, 10, 400, 50], [1500, 410, 50]),
    ],
)
def test_a_run_is_joined_with_newer_ones_that_are_not_much_smaller(before: list[int], after: list[int]):
    assert counts(merged(stretches(*before), 10_000, GROWTH)) == after


def test_no_run_grows_over_the_limit():
    assert counts(merged(stretches(60, 30, 30), 100, GROWTH)) == [90, 30]
    assert counts(merged(stretches(150, 90, 20), 100, GROWTH)) == [150, 90, 20]


def test_a_run_that_stays_alone_stays_itself():
    old, new = run(0, 100), run(100, 10)
    assert merged([old, new], 1000, GROWTH) == [old, new]
    assert merged([old, new, Stretch(110, 120, 5)], 1000, GROWTH) == [old, Stretch(100, 120, 15)]


@given(st.lists(st.integers(1, 1000), max_size=30), st.integers(1, 3000), st.sampled_from([GROWTH, np.inf]))
def test_joined_or_not_every_row_is_in_one_piece(value_counts: list[int], values_max: int, growth: float):
    pieces = merged(stretches(*value_counts), values_max, growth)
    assert sum(counts(pieces)) == sum(value_counts)
    assert all(older.stretch.end == newer.stretch.start for older, newer in pairwise(pieces))
    for older, newer in pairwise(counts(pieces)):
        assert older > growth * newer or older + newer > values_max


@given(st.lists(st.integers(1000, 4000), min_size=200, max_size=200))
def test_runs_stay_few_and_no_value_is_built_often(tails: list[int]):
    pieces: list[Run | Stretch] = []
    built_values, counts_seen = 0, []
    for tail in tails:
        end = pieces[-1].stretch.end if pieces else 0
        before = pieces
        pieces = merged([*pieces, Stretch(end, end + tail, tail)], 10**9, GROWTH)
        built_values += sum(piece.stretch.value_count for piece in pieces if piece not in before)
        counts_seen.append(len(pieces))
    assert max(counts_seen) <= 7
    assert built_values <= 10 * sum(tails)


def test_runs_are_due_when_the_tail_is_long():
    options = RunOptions(tail_values_min=10)
    assert not NO_RUNS.are_due(Tally(9, 0), options)
    assert NO_RUNS.are_due(Tally(10, 0), options)
    few = Runs((run(0, 20),), 20, Tally(20, 0))
    assert not few.are_due(Tally(29, 0), options)
    assert few.are_due(Tally(30, 0), options)
    # The tail may be longer beside long runs.
    many = Runs((run(0, 1280),), 1280, Tally(1280, 0))
    assert not many.are_due(Tally(1299, 0), options)
    assert many.are_due(Tally(1300, 0), options)


def test_runs_are_due_when_many_rows_died():
    options = RunOptions(dead_rows_min=10)
    assert not NO_RUNS.are_due(Tally(0, 10**6), options)
    runs = Runs((run(0, 100), run(100, 20)), 120, Tally(120, 7))
    assert not runs.are_due(Tally(120, 7 + 29), options)
    assert runs.are_due(Tally(120, 7 + 30), options)
    few = Runs((run(0, 8),), 8, Tally(8, 0))
    assert not few.are_due(Tally(8, 9), options)
    assert few.are_due(Tally(8, 10), options)


def test_runs_are_due_when_searches_have_lost_as_much_time_as_joining_takes():
    runs = Runs((run(0, 1000), run(1000, 200)), 1200, Tally(1200, 0))
    options = RunOptions(values_per_part=100)
    runs.cost.part_count = 11
    assert not runs.are_due(Tally(1200, 0), options)
    runs.cost.part_count = 12
    assert runs.are_due(Tally(1200, 0), options)
    assert not runs.are_due(Tally(1200, 0), RunOptions(values_per_part=0))
    # Those that are nearly full are left alone, and one small run alone has nothing to be joined with but a tail.
    assert runs.are_paid_for(Tally(1200, 0), RunOptions(200, 2000, 1, 1000))
    assert not runs.are_paid_for(Tally(1200, 0), RunOptions(200, 1999, 1, 1000))
    assert runs.are_paid_for(Tally(1201, 0), RunOptions(200, 1999, 1, 1000))
    assert not runs.are_paid_for(Tally(1201, 0), RunOptions(200, 300, 1, 1000))
