"""A rotation keeps lengths and angles, spreads every vector over all numbers, and is always the same."""

import numpy as np
import pytest

from pinyon.ann.rotation import Rotation, padded_width

WIDTHS = [1, 8, 64, 257, 384, 700, 1536]
PINNED = [-0.160645, 0.326172, 0.25, 0.535645, 0.035156, -0.208496]


@pytest.mark.parametrize("width", WIDTHS)
def test_lengths_and_dot_products_are_kept(width: int) -> None:
    rows = np.random.default_rng(1).standard_normal((20, width)).astype(np.float32)
    rotated = Rotation(width, 3)(rows)
    assert rotated.shape == (20, padded_width(width))
    np.testing.assert_allclose(rotated @ rotated.T, rows @ rows.T, atol=1e-4 * width)


@pytest.mark.parametrize("width", [64, 384, 1536])
def test_a_vector_with_one_number_is_spread_over_all(width: int) -> None:
    rotated = Rotation(width, 3)(np.eye(width, dtype=np.float32))
    size = padded_width(width)
    assert np.abs(rotated).max() < 8 / np.sqrt(size)
    # Of normally distributed numbers: a sum of sizes as expected, and half of them positive.
    np.testing.assert_allclose(np.abs(rotated).sum(axis=1), np.sqrt(2 * size / np.pi), rtol=0.25)
    assert 0.45 < (rotated > 0).mean() < 0.55


def test_a_row_is_rotated_alike_alone_and_among_others() -> None:
    rows = np.random.default_rng(1).standard_normal((20, 100)).astype(np.float32)
    rotate = Rotation(100, 3)
    np.testing.assert_allclose(rotate(rows[7:8])[0], rotate(rows)[7], atol=1e-5)


def test_a_seed_names_a_rotation_for_ever() -> None:
    """Codes on disk are right only as long as these numbers stay."""
    rotated = Rotation(3, 7)(np.array([[1, 2, 3]], np.float32))[0]
    np.testing.assert_allclose(rotated[:6], PINNED, atol=1e-5)
    assert not np.allclose(Rotation(3, 8)(np.array([[1, 2, 3]], np.float32))[0], rotated, atol=1e-3)
