"""Rows that filters selected in a segment, kept for the next query that asks the same: the rows never change.

All segments share one memory for them, so that a limit holds however many segments and filters there are.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from typing import Final, TypeAlias

import numpy as np

from pinyon.filter.ast import Filter
from pinyon.model.record import Int64s, UInt32s

_SELECTION_BYTES: Final = 400
"""What a selection takes beside its rows (measured, rounded up)."""

_Key: TypeAlias = tuple[int, bytes]


class SelectionMemory:
    """The selections that were asked for last, of all segments. Any thread may ask.

    Attributes:
        bytes_max: what they may take together; once it is less, they do as soon as another one is kept.
        nbytes: what they take, those of segments that are gone too.
    """

    def __init__(self, bytes_max: int) -> None:
        """Begin with none."""
        self.bytes_max = bytes_max
        self.nbytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, UInt32s] = OrderedDict()
        self._latest: tuple[Filter, bytes] | None = None

    def find(self, key: _Key) -> UInt32s | None:
        """The rows kept by a key."""
        with self._lock:
            rows = self._kept.get(key)
            if rows is not None:
                self._kept.move_to_end(key)
        return rows

    def keep(self, key: _Key, rows: UInt32s) -> None:
        """Keep rows, unless they alone are too many, and push out others for them."""
        with self._lock:
            if key not in self._kept and _nbytes(rows) <= self.bytes_max:
                self._kept[key] = rows
                self.nbytes += _nbytes(rows)
            while self.nbytes > self.bytes_max:
                self.nbytes -= _nbytes(self._kept.popitem(last=False)[1])

    def digest(self, condition: Filter) -> bytes:
        """16 bytes for a condition: the same for the same, and others for others, whoever makes them up.

        A query asks for the same condition in each segment, and first for the cost: its digest is made once.
        """
        latest = self._latest
        if latest is None or latest[0] is not condition:
            # Its `repr` tells 1 and true apart, which to Python are equal.
            latest = self._latest = condition, blake2b(repr(condition).encode(), digest_size=16).digest()
        return latest[1]


SELECTION_MEMORY: Final = SelectionMemory(64 * 1024 * 1024)
"""That of the process, as memory is."""

_numbers: Final = count()


class Selections:
    """The selections in one segment. Any thread may ask."""

    def __init__(self, select: Callable[[Filter], Int64s], memory: SelectionMemory = SELECTION_MEMORY) -> None:
        """Ask `select` for what is not known; it gives rows that ascend."""
        self._number = next(_numbers)
        self._select = select
        self._memory = memory

    def known(self, condition: Filter) -> UInt32s | None:
        """The rows that match, ascending, if they are kept; only read."""
        return self._memory.find(self._key(condition))

    def rows(self, condition: Filter) -> Int64s:
        """The rows that match, ascending."""
        key = self._key(condition)
        kept = self._memory.find(key)
        if kept is not None:
            return kept.astype(np.int64)
        rows = self._select(condition)
        self._memory.keep(key, rows.astype(np.uint32))
        return rows

    def _key(self, condition: Filter) -> _Key:
        return self._number, self._memory.digest(condition)


def _nbytes(rows: UInt32s) -> int:
    return rows.nbytes + _SELECTION_BYTES
