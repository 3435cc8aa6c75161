"""Partitions of rows around centroids, found by k-means (Lloyd) on a sample."""

from typing import Final

import numpy as np

from pinyon.model.record import Float32s, Int32s, Int64s

SAMPLE_ROWS: Final = 32
"""Rows of the sample for each centroid: twice as many find hardly better ones."""

_ROWS_MIN: Final = 4096
_COUNT_MAX: Final = 8192
_ITERATIONS: Final = 4
_ASSIGNED_AT_ONCE: Final = 4096


def partition_count(row_count: int) -> int:
    """How many partitions so many rows should have: their square root.

    One, where scanning all rows takes hardly longer than choosing some.
    """
    return 1 if row_count < _ROWS_MIN else min(round(float(np.sqrt(row_count))), _COUNT_MAX)


def train_centroids(sample: Float32s, count: int, rng: np.random.Generator) -> Float32s:
    """Centroids, `(count, width)` float32, of a sample of at least one row."""
    centroids = sample[rng.choice(len(sample), count, replace=len(sample) < count)]
    if count == 1:
        mean: Float32s = sample.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
        return mean
    for _ in range(_ITERATIONS):
        order, starts = group(assign(sample, centroids), count)
        ordered = sample[order]
        used = np.diff(starts) > 0
        # One by one: `np.add.reduceat` takes ten times as long, and lets no other thread run meanwhile.
        for number in np.flatnonzero(used).tolist():
            np.mean(ordered[starts[number] : starts[number + 1]], axis=0, out=centroids[number])
        # A centroid without rows starts again from a row of another.
        centroids[~used] = sample[rng.choice(len(sample), int((~used).sum()))]
    return centroids


def assign(rows: Float32s, centroids: Float32s) -> Int32s:
    """The nearest centroid of each row, `(n,)`."""
    assigned = np.zeros(len(rows), np.int32)
    if len(centroids) == 1:
        return assigned
    half_squares = np.vecdot(centroids, centroids) / 2
    for start in range(0, len(rows), _ASSIGNED_AT_ONCE):
        part = slice(start, start + _ASSIGNED_AT_ONCE)
        assigned[part] = np.argmax(rows[part] @ centroids.T - half_squares, axis=1)
    return assigned


def group(partitions: Int32s, count: int) -> tuple[Int64s, Int64s]:
    """Bring rows into order of partitions.

    Args:
        partitions: `(n,)` the partition of each row.
        count: how many partitions there are.

    Returns:
        `(order, starts)`: `order` (n,) names the row that comes i-th, and rows of a partition keep their order;
        partition i is `order[starts[i]:starts[i + 1]]`, and `starts` is `(count + 1,)`.
    """
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(partitions, minlength=count), out=starts[1:])
    assert count <= _COUNT_MAX
    # Numbers of 16 bits are sorted by counting.
    return np.argsort(partitions.astype(np.uint16), kind="stable"), starts
