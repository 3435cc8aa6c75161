"""The stored filter columns of a segment, read: posting lists and sorted numbers of the fields that are indexed.

The columns and what holds of them are told in `pinyon.filter.field_index`. They may be mapped files: what is returned
are views of them, and each column is asked for when it is first needed.

Thread rule: any number of readers, no lock. Two of them may ask for the same column at once, and get equal ones.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pinyon.filter.ast import Compare, Equals, Exists, Filter, Leaf, OneOf, Scalar, leaves
from pinyon.filter.evaluate import evaluate
from pinyon.filter.scanned_columns import ScannedColumns
from pinyon.filter.term import boolean_prefix, digest, exists_prefix, string_prefix
from pinyon.model.ordered import is_member
from pinyon.model.record import BytesColumn, Float64s, Int64s, Mask

StoredRows: TypeAlias = NDArray[np.int32]

SCANNED_ROWS: Final = 16_384
"""Rows whose metadata is read in one step: enough for numpy, and a few MB."""

_TERMS: Final = "filter_term_keys"
_NUMBERS: Final = "filter_numbers"


class StoredColumns:
    """`pinyon.filter.evaluate.Columns` over what `pinyon.filter.field_index.build` gave.

    The methods of `Columns` work for all fields; for one that is not indexed they read the metadata of every row. The
    others, which cost no more than what they return, are for fields that are indexed.
    """

    __slots__ = ("_array_of", "_arrays", "_field_places", "_metadata_at", "row_count")

    def __init__(
        self,
        array_of: Callable[[str], NDArray[Any]],
        row_count: int,
        metadata_at: Callable[[Int64s], BytesColumn],
    ) -> None:
        """Read nothing yet.

        Args:
            array_of: gives a column by its name; called from any thread.
            row_count: rows of the segment.
            metadata_at: gives the encoded metadata of some rows, `(m,)` ascending and distinct, in that order; called
                from any thread, with at most `SCANNED_ROWS` rows.
        """
        self._array_of = array_of
        self._metadata_at = metadata_at
        self._arrays: dict[str, NDArray[Any]] = {}
        self._field_places: dict[str, int] | None = None
        self.row_count = row_count

    def is_indexed(self, field: str) -> bool:
        """Whether posting lists and numbers tell all about `field`; so they do of one that no row has."""
        if field in self._places():
            return True
        others = self._array("filter_other_keys")
        if not others.size:
            return True
        key = np.frombuffer(digest(exists_prefix(_utf8(field))), "<u8")[:1]
        return not is_member(key, others)[0]

    @property
    def fields(self) -> Collection[str]:
        """The indexed fields, in the order of their bytes. Fields that no row has are not told."""
        return self._places().keys()

    def has_read(self, condition: Filter) -> bool:
        """True if the columns that `condition` is planned with were read before: the first time takes long."""
        places = self._field_places
        if places is None:
            return False
        # Of a field that no row has, no numbers are looked up.
        needed = (_columns_for(leaf) - (set() if leaf.field in places else {_NUMBERS}) for leaf in leaves(condition))
        return all(columns <= self._arrays.keys() for columns in needed)

    # Fields that are indexed.

    def rows_with(self, field: str) -> StoredRows:
        """The rows that have `field`: ascending, distinct, to be read only, as all rows below."""
        return self._only([digest(exists_prefix(_utf8(field)))])

    def rows_with_boolean(self, field: str, value: bool) -> StoredRows:
        """The rows whose `field` is the boolean `value`."""
        return self._only([digest(boolean_prefix(_utf8(field)), bytes([value]))])

    def rows_with_strings(self, field: str, texts: Collection[str]) -> list[StoredRows]:
        """For each of `texts` that occurs, the rows whose `field` is it, or a list with it."""
        prefix = string_prefix(_utf8(field))
        return self._postings([digest(prefix, _utf8(text)) for text in texts])

    def numbers_of(self, field: str) -> tuple[StoredRows, Float64s]:
        """The rows whose `field` is a number, and these numbers, ascending; rows ascend among equal numbers."""
        place = self._places().get(field)
        if place is None:
            return np.empty(0, np.int32), np.empty(0, np.float64)
        start, end = self._array("filter_number_starts")[place : place + 2].tolist()
        return self._array("filter_number_rows")[start:end], self._array(_NUMBERS)[start:end]

    # All fields.

    def matching(self, condition: Filter, rows: Int64s) -> Mask:
        """Which of `rows` match, as their metadata tells.

        Args:
            condition: any filter.
            rows: `(m,)`, ascending and distinct.

        Returns:
            `(m,)` bool.
        """
        parts = [
            evaluate(condition, ScannedColumns(self._metadata_at(rows[start : start + SCANNED_ROWS])))
            for start in range(0, rows.size, SCANNED_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.bool_)

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Rows where the field is a number, and those numbers."""
        if self.is_indexed(field):
            rows, values = self.numbers_of(field)
            return rows.astype(np.int64), values
        found = [
            (rows[places], values) for rows, columns in self._scan() for places, values in [columns.numbers(field)]
        ]
        return (
            np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)]),
            np.concatenate([np.empty(0, np.float64), *(values for _, values in found)]),
        )

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Rows where the field is one of these strings, or a list with one of them."""
        if self.is_indexed(field):
            return self._mask(self.rows_with_strings(field, wanted))
        return self.matching(OneOf(field, tuple(wanted)), self._all_rows())

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Rows where the field is this boolean."""
        if self.is_indexed(field):
            return self._mask([self.rows_with_boolean(field, wanted)])
        return self.matching(Equals(field, wanted), self._all_rows())

    def exists(self, field: str) -> Mask:
        """Rows that have the field."""
        if self.is_indexed(field):
            return self._mask([self.rows_with(field)])
        return self.matching(Exists(field), self._all_rows())

    # Inside.

    def _array(self, name: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._array_of(name)
        return array

    def _places(self) -> dict[str, int]:
        """The place of each indexed field among the fields."""
        if self._field_places is None:
            names, offsets = self._array("filter_field_names").tobytes(), self._array("filter_field_offsets").tolist()
            self._field_places = {
                names[start:end].decode(): place for place, (start, end) in enumerate(pairwise(offsets))
            }
        return self._field_places

    def _only(self, digests: list[bytes]) -> StoredRows:
        lists = self._postings(digests)
        return lists[0] if lists else np.empty(0, np.int32)

    def _postings(self, digests: list[bytes]) -> list[StoredRows]:
        """The posting lists of those terms that are there."""
        keys, checks = self._array(_TERMS), self._array("filter_term_checks")
        if not keys.size:
            return []
        wanted_keys, wanted_checks = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).T
        places = np.searchsorted(keys, wanted_keys)
        last = keys.size - 1
        while True:
            # Hardly ever more than once: only a term whose key is another's is further on.
            at = np.minimum(places, last)
            is_key = keys[at] == wanted_keys
            before = is_key & (checks[at] < wanted_checks) & (places < last)
            if not before.any():
                break
            places = places + before
        found = at[is_key & (checks[at] == wanted_checks)]
        starts, rows = self._array("filter_term_starts"), self._array("filter_term_rows")
        return [rows[start:end] for start, end in zip(starts[found].tolist(), starts[found + 1].tolist(), strict=True)]

    def _scan(self) -> Iterator[tuple[Int64s, ScannedColumns]]:
        for start in range(0, self.row_count, SCANNED_ROWS):
            rows = np.arange(start, min(start + SCANNED_ROWS, self.row_count))
            yield rows, ScannedColumns(self._metadata_at(rows))

    def _all_rows(self) -> Int64s:
        return np.arange(self.row_count)

    def _mask(self, lists: Collection[StoredRows]) -> Mask:
        mask = np.zeros(self.row_count, np.bool_)
        for rows in lists:
            mask[rows] = True
        return mask


def _columns_for(leaf: Leaf) -> set[str]:
    """The columns that a condition of one field is looked up in first."""
    match leaf:
        case Compare():
            return {_NUMBERS}
        case Exists():
            return {_TERMS}
        case Equals(_, value):
            return {_column_for(value)}
        case OneOf(_, values):
            return set(map(_column_for, values))


def _column_for(value: Scalar) -> str:
    return _TERMS if isinstance(value, str | bool) else _NUMBERS


def _utf8(text: str) -> bytes:
    """Encode any string. One with lone surrogates, which no metadata holds, gives bytes that no term has."""
    return text.encode(errors="surrogatepass")
