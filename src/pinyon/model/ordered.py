"""Numbers in ascending order: which are new, and which of others are among them."""

import numpy as np
from numpy.typing import NDArray

from pinyon.model.record import Mask


def is_first(ordered: NDArray[np.generic]) -> Mask:
    """`(n,)` bool: True where a number is not the one before it."""
    firsts = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=firsts[1:])
    return firsts


def is_member(numbers: NDArray[np.integer], of: NDArray[np.integer]) -> Mask:
    """Which of `numbers`, of any shape, are among `of`, `(n,)` ascending: of that shape, by as many binary searches.

    The type of `of` must be able to hold the numbers.
    """
    if not of.size:
        return np.zeros(numbers.shape, np.bool_)
    # Of one type, or the long one of both would be converted.
    numbers = numbers.astype(of.dtype, copy=False)
    found: Mask = of.take(np.searchsorted(of, numbers), mode="clip") == numbers
    return found
