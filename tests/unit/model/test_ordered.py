"""Which numbers are new, and which are among others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinyon.model.ordered import is_first, is_member


@given(st.lists(st.integers(0, 5)))
def test_the_first_of_equal_numbers_are_found(numbers: list[int]) -> None:
    ordered = np.array(sorted(numbers), np.int64)
    assert ordered[is_first(ordered)].tolist() == sorted(set(numbers))


@given(st.lists(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_membership_is_that_of_a_set(numbers: list[int], of: set[int]) -> None:
    members = is_member(np.array(numbers, np.int64), np.array(sorted(of), np.int32))
    assert members.tolist() == [number in of for number in numbers]
