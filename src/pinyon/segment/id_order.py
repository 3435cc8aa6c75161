"""The order of ids by their bytes, computed on arrays: no Python object per id.

Eight bytes at a time are compared as one big-endian number, padded with zeros. As no id holds NUL, a shorter id comes
before the longer ones that it begins, and two ids whose numbers are equal go on together or are the same id.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.model.record import Int64s, UInt64s

_WIDTH: Final = 8


def id_order(data: NDArray[np.uint8], offsets: Int64s, starts: Int64s | None = None) -> Int64s:
    """The rows in order of the bytes of their ids, `(n,)`.

    Args:
        data: the ids back to back, `(bytes,)`; none holds NUL.
        offsets: `(n + 1,)`: row i is `data[offsets[i]:offsets[i + 1]]`.
        starts: `(groups + 1,)`, ascending from 0 to n: rows are sorted within each group, and groups stay where they
            are. None for one group.
    """
    count = len(offsets) - 1
    order = np.arange(count)
    group = np.zeros(count, np.int64) if starts is None else np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places = _not_alone(order, group)  # Where `order` is not settled yet; ascending, and groups are contiguous.
    group = group[places]
    padded = np.concatenate((data, np.zeros(_WIDTH, np.uint8)))
    depth = 0
    while len(places):
        keys = _keys(padded, offsets, order[places], depth)
        sorting = _sorting(keys, group)
        order[places], keys = order[places][sorting], keys[sorting]
        # Ids that end here have a zero last byte: their equals are the same id, and nothing is left to be sorted.
        goes_on = (keys & np.uint64(0xFF)) != 0
        new_group = np.zeros(len(places), np.int64)
        np.cumsum((keys[1:] != keys[:-1]) | (group[1:] != group[:-1]), out=new_group[1:])
        kept = _not_alone(np.flatnonzero(goes_on), new_group[goes_on])
        places, group = places[kept], new_group[kept]
        depth += _WIDTH
    return order


def _not_alone(places: Int64s, group: Int64s) -> Int64s:
    """Those of `places` that share their group with a neighbour."""
    same = group[1:] == group[:-1]
    shared = np.zeros(len(places), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    return places[shared]


def _keys(padded: NDArray[np.uint8], offsets: Int64s, rows: Int64s, depth: int) -> UInt64s:
    """For each row its id's eight bytes from `depth` on as a number; zeros where it has ended."""
    begins = offsets[rows] + depth
    lengths = np.minimum(offsets[rows + 1] - begins, _WIDTH)
    # Every eight bytes of the ids as one number, overlapping: a view, nothing is copied.
    numbers: NDArray[np.uint64] = np.ndarray((len(padded) - _WIDTH + 1,), ">u8", padded, strides=(1,))
    keep = np.uint64(2**64 - 1) << (8 * (_WIDTH - lengths)).astype(np.uint64)
    keys: UInt64s = numbers[begins].astype(np.uint64) & keep
    return keys


def _sorting(keys: UInt64s, group: Int64s) -> Int64s:
    """What sorts `keys` within each group."""
    if group[0] == group[-1]:
        return np.arange(len(keys)) if keys.min() == keys.max() else np.argsort(keys)
    return np.lexsort((keys, group))
