"""Selections are made once, and are bounded."""

import numpy as np

from pinyon.engine.selections import Selections
from pinyon.filter.ast import Equals, Filter
from pinyon.model.record import Int64s


def test_a_selection_is_made_once_until_others_push_it_out() -> None:
    asked: list[Filter] = []

    def select(condition: Filter) -> Int64s:
        asked.append(condition)
        return np.arange(300)

    selections = Selections(1000, select)
    first, second, third = (Equals("n", float(number)) for number in range(3))
    assert selections.rows(first).tolist() == list(range(300))
    selections.rows(second)
    selections.rows(first)
    assert asked == [first, second]
    selections.rows(third)
    selections.rows(first)
    assert asked == [first, second, third]
    selections.rows(second)
    assert asked == [first, second, third, second]


def test_a_selection_that_is_too_large_is_not_kept() -> None:
    asked: list[Filter] = []

    def select(condition: Filter) -> Int64s:
        asked.append(condition)
        return np.arange(1000)

    selections = Selections(1000, select)
    for _ in range(2):
        assert len(selections.rows(Equals("n", 1.0))) == 1000
    assert len(asked) == 2


def test_a_number_is_no_boolean() -> None:
    selections = Selections(10_000, lambda condition: np.array([condition == Equals("n", 1.0)]).astype(np.int64))
    asked = [Equals("n", 1.0), Equals("n", True)]
    found = [selections.rows(condition) for condition in asked]
    assert found[0] is not found[1]
