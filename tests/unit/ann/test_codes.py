"""Distances of codes are what their bits say, and estimates are as good as they are said to be."""

import numpy as np
import pytest

from pinyon.ann import codes
from pinyon.ann.rotation import Rotation
from pinyon.model.record import Float32s


def normals(seed: int, count: int, width: int) -> Float32s:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def distances(rotated: Float32s, query: codes.PreparedQuery) -> np.ndarray:
    found = np.empty(len(rotated), np.uint16)
    codes.distances(codes.encode(rotated).words, query.planes, found)
    return found


def test_bits_of_codes_are_signs() -> None:
    rotated = normals(1, 5, 192)
    encoded = codes.encode(rotated)
    bits = np.array([[word >> bit & 1 for word in row for bit in range(64)] for row in encoded.words.tolist()])
    assert (bits == (rotated > 0)).all()
    np.testing.assert_allclose(encoded.factors, (rotated**2).sum(axis=1) / np.abs(rotated).sum(axis=1), rtol=1e-5)
    assert codes.encode(np.zeros((1, 64), np.float32)).factors.tolist() == [0]


@pytest.mark.parametrize("width", [64, 128, 192, 256, 320, 384, 1536])
def test_distances_are_those_of_signs_and_rounded_numbers(width: int) -> None:
    rotated, (query,) = normals(1, 50, width), normals(2, 1, width)
    prepared = codes.prepare(query)
    found = prepared.offset - prepared.scale * distances(rotated, prepared).astype(np.float64)
    step = prepared.scale / 2
    levels = 0.5 * np.linalg.norm(query) / np.sqrt(width)
    rounded = np.clip(2 * np.floor(query / (2 * levels)) + 1, -3, 3) * step
    np.testing.assert_allclose(rounded @ query, query @ query, rtol=1e-5)
    np.testing.assert_allclose(found, np.where(rotated > 0, 1, -1) @ rounded, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_distances_do_not_depend_on_how_many_codes_there_are(more: int) -> None:
    prepared = codes.prepare(normals(2, 1, 1536)[0])
    rotated = normals(1, 2 * prepared.planes.shape[1] + more, 1536)
    one_by_one = [distances(row[None], prepared)[0] for row in rotated]
    assert distances(rotated, prepared).tolist() == one_by_one
    assert distances(rotated[:0], prepared).tolist() == []


def test_the_longest_codes_do_not_overflow() -> None:
    width = 20_032
    opposite = codes.prepare(np.full(width, -1, np.float32))
    assert distances(np.ones((1, width), np.float32), opposite).tolist() == [2 * width]
    large = np.where(np.arange(width) % 4 == 0, -9, -0.1).astype(np.float32)
    assert distances(np.ones((1, width), np.float32), codes.prepare(large)).tolist() == [2 * width + width // 4]


@pytest.mark.parametrize("width", [256, 384, 1536])
def test_the_error_is_as_documented(width: int) -> None:
    rows = normals(1, 2000, width)
    query = normals(2, 1, width)[0] - 2
    rotate = Rotation(width, 5)
    rotated = rotate(rows)
    prepared = codes.prepare(rotate(query[None])[0])
    dots = prepared.offset - prepared.scale * distances(rotated, prepared).astype(np.float64)
    errors = codes.encode(rotated).factors * dots - rows @ query
    errors /= np.linalg.norm(rows, axis=1) * np.linalg.norm(query) / np.sqrt(rotated.shape[1])
    assert abs(errors.mean()) < 0.1
    assert 0.9 * codes.ERROR < errors.std() < 1.1 * codes.ERROR


def test_a_query_of_zeros_is_near_to_nothing() -> None:
    prepared = codes.prepare(np.zeros(256, np.float32))
    assert np.isfinite([prepared.offset, prepared.scale]).all()
