"""Pages of what a filter selects: in order of ids, from memory and segments, at the cost of a page."""

from collections.abc import Iterator

import numpy as np
import pytest

from pinyon.engine.index import Index
from pinyon.engine.matching import matching_page, matching_places
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.engine.places import ids_of
from pinyon.filter.ast import Equals, Filter
from pinyon.model.record import Int64s
from pinyon.segment.segment import Segment
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch
from tests.unit.engine.test_index import open_index

RED, GREEN, BLUE = (Equals("colour", name) for name in ("red", "green", "blue"))
NAMES = [f"id-{number:05}" for number in np.random.default_rng(3).permutation(6000)]


def write(index: Index, names: list[str], colour: str) -> None:
    for at in range(0, len(names), 1000):
        records = {name: PlainRecord((1,), {}, {"colour": colour}) for name in names[at : at + 1000]}
        index.write(UpsertRecords("n", batch(records)))


@pytest.fixture(name="index", scope="module")
def _index() -> Index:
    """Red records in a dedicated segment, a shared one and in memory; some of them changed or deleted since."""
    index = open_index(MemoryStorage())
    write(index, NAMES[:4500], "red")
    index.maintenance.flush()
    write(index, NAMES[4500:5000], "red")
    index.maintenance.flush()
    write(index, NAMES[5000:], "red")
    write(index, NAMES[::7], "green")
    index.write(DeleteRecords("n", NAMES[::5]))
    return index


RED_NAMES = sorted(name for place, name in enumerate(NAMES) if place % 7 and place % 5)


def pages(index: Index, condition: Filter, limit: int) -> Iterator[list[str]]:
    view, _ = index.read("n")
    after = None
    while page := ids_of(matching_page(view, condition, after, limit)):
        yield page
        after = page[-1]


@pytest.mark.parametrize("limit", [1000, 997, 100_000])
def test_pages_together_are_all_that_match_in_order(index: Index, limit: int) -> None:
    found = list(pages(index, RED, limit))
    assert [name for page in found for name in page] == RED_NAMES
    assert {len(page) for page in found[:-1]} <= {limit}
    assert sorted(ids_of(matching_places(index.read("n")[0], RED))) == RED_NAMES


@pytest.mark.parametrize("after", ["", "id", "id-00000", "id-03000", "id-03000x", "id-05999", "z"])
def test_a_page_begins_behind_an_id_that_need_not_be_there(index: Index, after: str) -> None:
    page = matching_page(index.read("n")[0], RED, after, 3)
    assert ids_of(page) == [name for name in RED_NAMES if name > after][:3]


def test_a_filter_that_nothing_passes_has_no_page(index: Index) -> None:
    assert list(pages(index, BLUE, 10)) == []
    assert matching_page(index.read("nobody")[0], RED, None, 10) == []


def test_of_a_segment_only_the_ids_of_the_page_are_read(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    original = Segment.ids

    def ids(self: Segment, rows: Int64s) -> list[str]:
        nonlocal read
        read += len(rows)
        return original(self, rows)

    monkeypatch.setattr(Segment, "ids", ids)
    monkeypatch.setattr("pinyon.engine.matching._ROWS_AT_ONCE", 7)
    view, _ = index.read("n")
    assert len(view.parts) == 2
    assert len(matching_page(view, RED, "id-02000", 10)) == 10
    assert read <= 2 * 10


def test_matches_that_lie_far_apart_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinyon.engine.matching._ROWS_AT_ONCE", 7)
    index = open_index(MemoryStorage())
    write(index, NAMES, "red")
    write(index, NAMES[::600], "green")
    index.maintenance.flush()
    assert [name for page in pages(index, GREEN, 3) for name in page] == sorted(NAMES[::600])
