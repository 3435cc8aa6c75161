"""Growing arrays keep what was written, for those who took them earlier too."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pinyon.engine.growable import GrowableArray, GrowableBytes


def test_rows_come_back_in_the_order_of_appending() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    for start in range(0, 100, 7):
        array.extend(np.arange(start, min(start + 7, 100)))
    assert array.count == 100
    assert array.filled.tolist() == list(range(100))
    assert array.nbytes == 800


def test_rows_of_a_matrix_keep_their_width() -> None:
    array: GrowableArray[np.float32] = GrowableArray(np.float32, 3)
    array.extend(np.zeros((0, 3), np.float32))
    array.extend(np.arange(30, dtype=np.float32).reshape(10, 3))
    assert array.filled.shape == (10, 3)
    assert array.filled[9].tolist() == [27, 28, 29]


def test_an_array_taken_before_growth_stays_right() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    array.extend(np.arange(5))
    taken = array.filled
    for _ in range(10):
        array.extend(np.full(50, -1))
    assert taken.tolist() == [0, 1, 2, 3, 4]


def test_capacity_at_least_doubles() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    capacities = set()
    for number in range(1000):
        array.extend(np.array([number]))
        capacities.add(len(array.data))
    assert len(capacities) <= 8


def test_reserved_room_is_not_copied_again() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    array.reserve(1000)
    room = array.data
    array.extend(np.arange(1000))
    assert array.data is room


class WrittenWhileRead(GrowableArray[np.int64]):
    """Appends, and so grows, whenever a reader has looked at one of its attributes."""

    __slots__ = ("busy",)

    def __getattribute__(self, name: str) -> object:
        value = super().__getattribute__(name)
        if name in ("count", "data") and not getattr(self, "busy", True):
            self.busy = True
            self.extend(np.full(super().__getattribute__("count") + 9, 7))
            self.busy = False
        return value


def test_filled_shows_only_written_rows_while_another_thread_appends() -> None:
    array = WrittenWhileRead(np.int64)
    array.busy = True
    array.extend(np.full(5, 7))
    array.busy = False
    filled: NDArray[np.int64] = array.filled
    assert (filled == 7).all()


def test_byte_rows_come_back() -> None:
    column = GrowableBytes()
    column.extend(np.frombuffer(b"__abcde", np.uint8), np.array([2, 4, 4, 7]))
    column.extend_empty(2)
    column.extend(np.frombuffer(b"xyz", np.uint8), np.array([0, 3]))
    assert [column.row(row) for row in range(6)] == [b"ab", b"", b"cde", b"", b"", b"xyz"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_only_empty_byte_rows(count: int) -> None:
    column = GrowableBytes()
    column.extend_empty(count)
    assert [column.row(row) for row in range(count)] == [b""] * count
