"""Selections are made once, and are bounded over all segments."""

import tracemalloc

import numpy as np

from pinyon.engine.selections import SelectionMemory, Selections
from pinyon.filter.ast import Equals, Filter, OneOf
from pinyon.model.record import Int64s


class Selecting:
    """Selects the first rows, and remembers what was asked for."""

    def __init__(self, row_count: int) -> None:
        self.row_count = row_count
        self.asked: list[Filter] = []

    def __call__(self, condition: Filter) -> Int64s:
        self.asked.append(condition)
        return np.arange(self.row_count)


def test_a_selection_is_made_once_until_others_push_it_out() -> None:
    select, other = Selecting(1000), Selecting(500)
    memory = SelectionMemory(9000)
    selections = Selections(select, memory)
    first, second, third = (Equals("n", float(number)) for number in range(3))
    assert selections.rows(first).tolist() == list(range(1000))
    selections.rows(second)
    assert selections.rows(first).tolist() == list(range(1000))
    assert select.asked == [first, second]
    Selections(other, memory).rows(third)
    selections.rows(first)
    assert select.asked == [first, second]
    selections.rows(second)
    assert select.asked == [first, second, second]
    assert other.asked == [third]


def test_segments_do_not_share_rows() -> None:
    memory = SelectionMemory(10_000)
    few, many = (Selections(Selecting(row_count), memory) for row_count in (2, 5))
    for _ in range(2):
        assert few.rows(Equals("n", 1.0)).tolist() == [0, 1]
        assert many.rows(Equals("n", 1.0)).tolist() == [0, 1, 2, 3, 4]


def test_a_selection_that_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    memory = SelectionMemory(3000)
    large, small = Selecting(1000), Selecting(10)
    for _ in range(2):
        Selections(large, memory).rows(Equals("n", 1.0))
    assert (len(large.asked), memory.nbytes) == (2, 0)
    selections = Selections(small, memory)
    for _ in range(2):
        selections.rows(Equals("n", 1.0))
        Selections(large, memory).rows(Equals("n", 1.0))
    assert len(small.asked) == 1


def test_what_is_told_of_the_memory_is_what_it_takes_however_long_the_filters_are() -> None:
    memory = SelectionMemory(100_000)
    selections = Selections(lambda _: np.zeros(0, np.int64), memory)
    tracemalloc.start()
    for number in range(100):
        selections.rows(OneOf("acl", tuple(f"user-{number}-{value:032d}" for value in range(200))))
    rows = selections.known(Equals("n", 1.0))
    taken_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert rows is None
    assert 0.5 * memory.nbytes < taken_bytes < memory.nbytes <= memory.bytes_max


def test_a_memory_that_becomes_smaller_is_kept_to_with_the_next_selection() -> None:
    memory = SelectionMemory(100_000)
    selections = Selections(Selecting(100), memory)
    for number in range(50):
        selections.rows(Equals("n", float(number)))
    memory.bytes_max = 2000
    selections.rows(Equals("n", -1.0))
    assert 0 < memory.nbytes <= 2000


def test_what_is_known_is_what_is_kept() -> None:
    selections = Selections(Selecting(3), SelectionMemory(10_000))
    assert selections.known(Equals("n", 1.0)) is None
    selections.rows(Equals("n", 1.0))
    known = selections.known(Equals("n", 1.0))
    assert known is not None
    assert known.tolist() == [0, 1, 2]


def test_conditions_that_differ_are_told_apart() -> None:
    """A number is no boolean, a text no other in quotes, and a lone surrogate is a text too."""
    conditions: list[Filter] = [
        Equals("n", 1.0),
        Equals("n", True),
        Equals("n", "1.0"),
        Equals("n", "True"),
        Equals("n", "\ud800"),
        OneOf("n", ("a", "b")),
        OneOf("n", ("a', 'b",)),
    ]
    memory = SelectionMemory(10_000)
    assert len({memory.digest(condition) for condition in conditions}) == len(conditions)
    assert {len(memory.digest(condition)) for condition in conditions} == {16}
