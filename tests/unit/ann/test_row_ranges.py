"""Positions in ranges of rows, compared with a list of the rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinyon.ann.row_ranges import RowRanges


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12).map(sorted), st.sets(st.integers(0, 39)))
def test_ranges_are_one_sequence_of_rows(bounds: list[int], some: set[int]) -> None:
    bounds = bounds[: len(bounds) // 2 * 2]
    ranges = RowRanges(np.array(bounds[::2]), np.array(bounds[1::2]))
    rows = [row for start, end in zip(bounds[::2], bounds[1::2], strict=True) for row in range(start, end)]
    assert ranges.row_count == len(rows)
    assert ranges.rows(np.arange(len(rows))).tolist() == rows
    assert ranges.select(np.array(sorted(some), np.int64)).tolist() == [row for row in sorted(some) if row in rows]
    assert ranges.cut(np.arange(40) * 2).tolist() == [2 * row for row in rows]
