"""Equal slices are grouped, different ones never are."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinyon.filter import distinct_slices as module
from pinyon.filter.distinct_slices import distinct_slices
from pinyon.model.record import Int64s


def _grouped(texts: list[bytes], labels: list[int] | None = None) -> tuple[list[int], list[int]]:
    offsets = np.cumsum([0, *map(len, texts)])
    buffer = np.frombuffer(b"".join(texts), np.uint8)
    numbers = None if labels is None else np.array(labels, np.int64)
    first, group = distinct_slices(buffer, offsets[:-1], offsets[1:], numbers)
    return first.tolist(), group.tolist()


def _pieces() -> st.SearchStrategy[bytes]:
    """Texts that differ in their last byte, in their length or in trailing zeros, around the sizes of a word."""
    sizes = st.sampled_from([0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200])
    return st.builds(lambda size, last: (b"a" * size)[:-1] + last, sizes, st.sampled_from([b"a", b"b", b"\0", b"\0\0"]))


@given(st.lists(st.tuples(_pieces(), st.integers(0, 2)), max_size=30))
@example([])
def test_groups_are_the_equal_slices(pairs: list[tuple[bytes, int]]) -> None:
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    first, group = _grouped(texts, labels)
    for place, of_slice in enumerate(group):
        assert pairs[first[of_slice]] == pairs[place]
    compared = [pair for pair in pairs if len(pair[0]) <= 64]
    assert len(first) == len(set(compared)) + len(pairs) - len(compared)


def test_colliding_hashes_do_not_make_different_slices_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_collide(columns: list[Int64s]) -> Int64s:
        return np.zeros(columns[0].size, np.int64)

    monkeypatch.setattr(module, "_hashes", all_collide)
    texts = [b"drama", b"comedy", b"drama", b"comedie"] * 3
    first, group = _grouped(texts)
    assert [texts[first[of_slice]] for of_slice in group] == texts


def test_without_labels_only_the_bytes_count() -> None:
    first, group = _grouped([b"x", b"y", b"x"])
    assert len(first) == 2
    assert group[0] == group[2] != group[1]


def test_thousands_of_slices_have_few_groups() -> None:
    texts = [b"user-%06d" % (place % 100) for place in range(10_000)]
    first, group = _grouped(texts)
    assert len(first) == 100
    assert [texts[first[of_slice]] for of_slice in group] == texts
