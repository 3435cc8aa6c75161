"""Rows that filters selected in a segment, kept for the next query that asks the same: the rows never change."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from pinyon.filter.ast import Filter
from pinyon.model.record import Int64s


class Selections:
    """The selections that were asked for last, of `row_count` rows together at most. Any thread may ask."""

    def __init__(self, row_count: int, select: Callable[[Filter], Int64s]) -> None:
        """Ask `select` for what is not known."""
        self._rows_max = row_count
        self._select = select
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Int64s] = OrderedDict()
        self._rows_kept = 0

    def known(self, condition: Filter) -> Int64s | None:
        """The rows that match, as `rows` returns them, if they are kept."""
        key = _key(condition)
        with self._lock:
            rows = self._kept.get(key)
            if rows is not None:
                self._kept.move_to_end(key)
        return rows

    def rows(self, condition: Filter) -> Int64s:
        """The rows that match, ascending; shared, and only read."""
        rows = self.known(condition)
        if rows is not None:
            return rows
        key, rows = _key(condition), self._select(condition)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = rows
                self._rows_kept += _cost(rows)
            while self._rows_kept > self._rows_max:
                self._rows_kept -= _cost(self._kept.popitem(last=False)[1])
        return rows


def _key(condition: Filter) -> str:
    return repr(condition)  # To Python, a filter for 1 and one for true are equal.


def _cost(rows: Int64s) -> int:
    """A selection of no rows takes some memory too."""
    return len(rows) + 200
