"""Ids sort by their bytes, within each group, whatever they have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.model.batches import offsets_of
from pinyon.segment.id_hash import id_hashes
from pinyon.segment.id_order import id_order

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
similar = st.builds(
    lambda prefix, rest: prefix + rest,
    st.sampled_from(["", "document", "documents", "a" * 17]),
    st.text("abé", max_size=9),
).filter(bool)


def _order(ids: list[str], starts: list[int] | None = None) -> list[int]:
    encoded = [id_.encode() for id_ in ids]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    bounds = None if starts is None else np.array(starts, np.int64)
    order: list[int] = id_order(data, offsets_of(list(map(len, encoded))), bounds).tolist()
    return order


@given(ids=st.lists(texts | similar, unique=True, max_size=40))
def test_ids_are_sorted_by_their_bytes(ids: list[str]) -> None:
    assert [ids[row] for row in _order(ids)] == sorted(ids, key=str.encode)


@given(groups=st.lists(st.lists(texts | similar, unique=True, max_size=8), max_size=8))
def test_groups_are_sorted_each_for_itself(groups: list[list[str]]) -> None:
    ids = [id_ for group in groups for id_ in group]
    starts = offsets_of(list(map(len, groups))).tolist()
    assert [ids[row] for row in _order(ids, starts)] == [
        id_ for group in groups for id_ in sorted(group, key=str.encode)
    ]


@pytest.mark.parametrize("length", [7, 8, 9, 16, 512])
def test_an_id_comes_before_those_that_it_begins(length: int) -> None:
    short = "x" * length
    assert _order([short + "y", short, short + "\x01"]) == [1, 2, 0]


def test_hashes_are_those_of_the_format_page() -> None:
    found = id_hashes(["a", "é" * 9, "x" * 500])
    assert found.dtype == np.uint64
    assert found.astype("<u8").tobytes().hex() == "897859f6655555856b937a8ae9515911d519c3154daf01f8"
    assert len(id_hashes([])) == 0
