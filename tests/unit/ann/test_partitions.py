"""Partitions hold rows that are near each other, and every row is in one."""

import numpy as np

from pinyon.ann.partitions import assign, group, partition_count, train_centroids


def clusters(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    centers = rng.standard_normal((count, 8)) * 10
    return (np.repeat(centers, size, axis=0) + rng.standard_normal((count * size, 8))).astype(np.float32)


def test_few_rows_have_one_partition_and_many_have_their_square_root():
    assert partition_count(1) == partition_count(4095) == 1
    assert partition_count(4096) == 64
    assert partition_count(1_000_000) == 1000
    assert partition_count(10**9) == 8192


def test_a_row_goes_to_its_nearest_centroid():
    rows = clusters(10, 1000)
    centroids = rows[::1500].copy()
    squares = ((rows[:, None] - centroids) ** 2).sum(axis=2)
    assert (assign(rows, centroids) == squares.argmin(axis=1)).all()
    assert assign(rows, centroids[:1]).tolist() == [0] * len(rows)


def test_training_brings_centroids_nearer_to_the_rows():
    rows = clusters(20, 100)
    trained = train_centroids(rows, 30, np.random.default_rng(1))
    drawn = rows[np.random.default_rng(1).choice(len(rows), 30, replace=False)]

    def spread(centroids: np.ndarray) -> float:
        return float(((rows - centroids[assign(rows, centroids)]) ** 2).sum())

    assert spread(trained) < 0.9 * spread(drawn)
    assert (train_centroids(rows, 30, np.random.default_rng(1)) == trained).all()


def test_one_centroid_is_the_mean():
    rows = clusters(3, 10)
    np.testing.assert_allclose(train_centroids(rows, 1, np.random.default_rng(1))[0], rows.mean(axis=0), rtol=1e-4)


def test_equal_rows_and_few_rows_can_be_trained_on():
    assert train_centroids(np.ones((100, 4), np.float32), 10, np.random.default_rng(1)).tolist() == [[1] * 4] * 10
    assert train_centroids(np.ones((2, 4), np.float32), 10, np.random.default_rng(1)).shape == (10, 4)


def test_grouping_keeps_the_order_of_rows_of_a_partition():
    order, starts = group(np.array([2, 0, 2, 4, 0], np.int32), 5)
    assert order.tolist() == [1, 4, 0, 2, 3]
    assert starts.tolist() == [0, 2, 2, 4, 4, 5]
