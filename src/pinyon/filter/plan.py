"""Plans: conditions over stored columns, with bounds of how many rows match, told before any is looked at.

`$and` begins with its most selective operand, and asks the others only about the rows that are left. Where few are
left, reading their metadata is faster than going through a large posting list or range. A negation within `$and` takes
away what its operand matches among these rows, so it needs no mask of all rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np

from pinyon.filter.ast import Filter
from pinyon.filter.selection import Selection
from pinyon.filter.stored_columns import StoredColumns, StoredRows
from pinyon.model.ordered import is_member

# Costs, in rows of a list that are put into a mask (2 ns each). They decide between ways to the same answer.

_READ_COST: Final = 75_000
"""Reading the metadata of any rows at all."""

_ROW_READ_COST: Final = 250
"""Reading the metadata of one row more: 0.2 µs to find a field, and as much again to bring the bytes together."""

_PROBE_COST: Final = 24
"""Looking one row up in a posting list, when the rows are in order."""

_PROBED_LISTS_MAX: Final = 4


class Plan(ABC):
    """A condition over columns, before it is evaluated.

    Attributes:
        least: so many rows match, or more.
        most: so many rows match, or fewer.
        cost: what `select` costs, about.
    """

    def __init__(self, condition: Filter, columns: StoredColumns, *, least: int, most: int, cost: int) -> None:
        """Plan `condition`."""
        self._condition = condition
        self._columns = columns
        self.row_count = columns.row_count
        self.least = max(least, 0)
        self.most = min(most, columns.row_count)
        self.cost = cost

    @abstractmethod
    def select(self) -> Selection:
        """All rows that match."""

    def narrow(self, among: Selection) -> Selection:
        """Those rows of `among` that match."""
        if among.is_sparse and _READ_COST + among.count * _ROW_READ_COST < self.narrowing_cost(among):
            return self._read(among)
        return self._narrow(among)

    def narrowing_cost(self, among: Selection) -> int:
        """What it costs, about, to find those rows of `among` that match without reading metadata."""
        return self.cost

    @abstractmethod
    def _narrow(self, among: Selection) -> Selection:
        """Those rows of `among` that match, found without reading metadata where the columns can tell."""

    def _read(self, among: Selection) -> Selection:
        """Those rows of `among` whose metadata matches."""
        return among.among(self._columns.matching(self._condition, among.rows()))


class Lists(Plan):
    """Rows that are in any of some lists."""

    def __init__(
        self, condition: Filter, columns: StoredColumns, lists: Sequence[StoredRows], *, ascending: bool = True
    ) -> None:
        """Take the rows in any of `lists`, each list distinct; and in ascending order, or not."""
        sizes = [rows.size for rows in lists]
        super().__init__(condition, columns, least=max(sizes, default=0), most=sum(sizes), cost=sum(sizes))
        self._lists = lists
        self._ascending = ascending

    def select(self) -> Selection:
        """Put them together."""
        return Selection.of_lists(self._lists, self.row_count, ascending=self._ascending)

    def narrowing_cost(self, among: Selection) -> int:
        """The less of putting the lists together and of looking up each row in each list."""
        can_probe = among.is_sparse and self._ascending and len(self._lists) <= _PROBED_LISTS_MAX
        return min(self.cost, among.count * _PROBE_COST * len(self._lists)) if can_probe else self.cost

    def _narrow(self, among: Selection) -> Selection:
        if self.narrowing_cost(among) == self.cost:
            return among & self.select()
        places = np.zeros(among.count, np.bool_)
        for rows in self._lists:
            places |= is_member(among.rows(), rows)
        return among.among(places)


class Complement(Plan):
    """Rows that a plan leaves."""

    def __init__(self, condition: Filter, columns: StoredColumns, operand: Plan) -> None:
        """Take what `operand` does not."""
        least, most = columns.row_count - operand.most, columns.row_count - operand.least
        super().__init__(condition, columns, least=least, most=most, cost=operand.cost)
        self._operand = operand

    def select(self) -> Selection:
        """Turn the mask round."""
        return Selection.of_mask(~self._operand.select().mask())

    def narrowing_cost(self, among: Selection) -> int:
        """The operand's."""
        return self._operand.narrowing_cost(among)

    def _narrow(self, among: Selection) -> Selection:
        return among - self._operand.narrow(among)


class Intersection(Plan):
    """Rows that all of some plans take."""

    def __init__(self, condition: Filter, columns: StoredColumns, operands: Sequence[Plan]) -> None:
        """Take what all `operands`, at least one, take."""
        missing = sum(columns.row_count - operand.least for operand in operands)
        most, cost = min(operand.most for operand in operands), sum(operand.cost for operand in operands)
        super().__init__(condition, columns, least=columns.row_count - missing, most=most, cost=cost)
        self._operands = sorted(operands, key=lambda operand: (operand.most, operand.cost))

    def select(self) -> Selection:
        """Begin with the most selective operand; of equal ones, with what costs least."""
        first, *others = self._operands
        return self._narrow_by(others, first.select())

    def narrowing_cost(self, among: Selection) -> int:
        """That of all operands, since `among` may hardly shrink."""
        return sum(operand.narrowing_cost(among) for operand in self._operands)

    def _narrow(self, among: Selection) -> Selection:
        return self._narrow_by(self._operands, among)

    def _narrow_by(self, operands: Sequence[Plan], among: Selection) -> Selection:
        for operand in operands:
            if not among.count:
                break
            among = operand.narrow(among)
        return among


class Union(Plan):
    """Rows that any of some plans takes."""

    def __init__(self, condition: Filter, columns: StoredColumns, operands: Sequence[Plan]) -> None:
        """Take what any of `operands`, at least one, takes."""
        most, cost = sum(operand.most for operand in operands), sum(operand.cost for operand in operands)
        super().__init__(condition, columns, least=max(operand.least for operand in operands), most=most, cost=cost)
        self._operands = operands

    def select(self) -> Selection:
        """Put together what the operands take."""
        found = [operand.select() for operand in self._operands]
        sparse = [selection.rows() for selection in found if selection.is_sparse]
        if len(sparse) == len(found):
            return Selection.of_lists(sparse, self.row_count, ascending=True)
        mask = np.logical_or.reduce([selection.mask() for selection in found if not selection.is_sparse])
        for rows in sparse:
            mask[rows] = True
        return Selection.of_mask(mask)

    def narrowing_cost(self, among: Selection) -> int:
        """That of all operands, since `among` may hardly shrink."""
        return sum(operand.narrowing_cost(among) for operand in self._operands)

    def _narrow(self, among: Selection) -> Selection:
        left = among
        for operand in self._operands:
            left = left - operand.narrow(left)
        return among - left


class Scan(Plan):
    """Rows that match a condition on a field that is not indexed: only their metadata can tell."""

    def __init__(self, condition: Filter, columns: StoredColumns) -> None:
        """Know nothing yet."""
        cost = _READ_COST + columns.row_count * _ROW_READ_COST
        super().__init__(condition, columns, least=0, most=columns.row_count, cost=cost)

    def select(self) -> Selection:
        """Read the metadata of all rows."""
        return Selection.of_mask(self._columns.matching(self._condition, np.arange(self.row_count)))

    def _narrow(self, among: Selection) -> Selection:
        return self._read(among)
