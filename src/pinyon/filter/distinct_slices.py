"""Finding equal slices of a buffer among many thousands, without a Python object for each.

Slices are hashed eight bytes at a time, all slices in one step, and ordered by hash. Neighbours are then compared in
full, so equal hashes of different slices never make one of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.model.ordered import is_first
from pinyon.model.record import Int64s
from pinyon.protobuf.columns import Bytes, Positions, Words, items_at

_WORD_BYTES: Final = 8
_COMPARED_BYTES_MAX: Final = 64
"""Longer slices are texts more often than values, and take a step for each eight bytes: they are not compared."""

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_LOW_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(_WORD_BYTES + 1)], np.uint64)


def distinct_slices(
    buffer: Bytes, starts: Positions, ends: Positions, labels: NDArray[np.int64] | None = None
) -> tuple[Int64s, Int64s]:
    """Group equal slices `buffer[start:end]`, all of them inside the buffer.

    Args:
        buffer: `(size,)` uint8.
        starts: `(n,)` int64.
        ends: `(n,)` int64.
        labels: `(n,)` int64; slices with different labels are different. None: they have none.

    Returns:
        `(first, group)`: for each of `g` groups one of its slices, by place, and `(n,)` the group of each slice. Slices
        of a group are equal. Now and then equal ones stand in several groups: long ones, and where hashes collide.
    """
    lengths = ends - starts
    columns = [lengths.view(np.uint64), *_words(buffer, starts, lengths)]
    if labels is not None:
        columns.append(labels.view(np.uint64))
    order = np.argsort(_hashes(columns))
    firsts = lengths[order] > _COMPARED_BYTES_MAX
    for column in columns:
        firsts |= is_first(column[order])
    group = np.empty(order.size, np.int64)
    group[order] = firsts.cumsum() - 1
    return order[firsts], group


def _words(buffer: Bytes, starts: Positions, lengths: Positions) -> list[Words]:
    """The bytes of the slices that are compared, eight in a column; zeros follow the end of a slice."""
    if buffer.size < _WORD_BYTES:
        buffer = np.concatenate((buffer, np.zeros(_WORD_BYTES, np.uint8)))
    longest = int(lengths.max(initial=0, where=lengths <= _COMPARED_BYTES_MAX))
    words = []
    for begin in range(0, longest, _WORD_BYTES):
        inside = np.flatnonzero((lengths > begin) & (lengths <= _COMPARED_BYTES_MAX))
        wanted = starts[inside] + begin
        at = np.minimum(wanted, buffer.size - _WORD_BYTES)
        read = items_at(buffer, at, _WORD_BYTES).view("<u8") >> ((wanted - at) * 8).astype(np.uint64)
        word = np.zeros(starts.size, np.uint64)
        word[inside] = read & _LOW_BYTES[np.minimum(lengths[inside] - begin, _WORD_BYTES)]
        words.append(word)
    return words


def _hashes(columns: list[Words]) -> Words:
    hashes = np.zeros(columns[0].size, np.uint64)
    for column in columns:
        hashes ^= column
        hashes *= _FACTOR
        hashes ^= hashes >> np.uint64(32)
    return hashes
