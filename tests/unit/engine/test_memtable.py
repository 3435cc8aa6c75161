"""A memtable holds the newest version of each record, and gives blocks of dead rows back."""

from itertools import count

import pytest

from pinyon.engine import memtable as memtable_module
from pinyon.engine.block import Block
from pinyon.engine.memtable import Memtable, blocks_of
from pinyon.engine.view import MemtableView
from pinyon.testing.engine_model import PlainRecord, batch, plain_record

ROWS = 4


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable_module, "block_rows", lambda _: ROWS)


class Table:
    """A memtable whose records are named by id and one number."""

    def __init__(self) -> None:
        self.memtable = Memtable(1)
        self.lsns = count(1)
        self.lsn = 0

    def upsert(self, ids: str, number: float = 0) -> None:
        self.lsn = next(self.lsns)
        self.memtable.upsert(batch({id_: PlainRecord((number,)) for id_ in ids}), self.lsn)

    def upsert_blocks(self, ids: str, number: float) -> list[Block]:
        self.lsn = next(self.lsns)
        blocks = blocks_of((batch({id_: PlainRecord((number,))}) for id_ in ids), 1)
        for block in blocks:
            self.memtable.upsert(block, self.lsn)
        return blocks

    def delete(self, ids: str) -> None:
        self.lsn = next(self.lsns)
        self.memtable.delete(list(ids), self.lsn)

    def view(self) -> MemtableView:
        return self.memtable.view(self.lsn)

    @property
    def found(self) -> dict[str, float]:
        places = {id_: self.memtable.locate(id_) for id_ in self.memtable.row_of}
        return {id_: number_of(*place) for id_, place in places.items() if place}

    def ids(self, prefix: str = "", after: str | None = None) -> str:
        return " ".join(self.memtable.ids_from(prefix, after))


def number_of(block: Block, row: int) -> float:
    dense = plain_record(block.record(row)).dense
    assert dense is not None
    return dense[0]


def seen(view: MemtableView) -> dict[str, float]:
    """What a view shows; each id once."""
    found = {}
    for block in view.blocks:
        alive = view.alive(block)
        for row in range(block.row_count):
            if alive is None or alive[row]:
                record = block.block.record(row)
                assert record.id not in found
                found[record.id] = number_of(block.block, row)
    return found


def test_the_last_write_wins() -> None:
    table = Table()
    table.upsert("abc", 1)
    table.upsert("bd", 2)
    assert table.found == seen(table.view()) == {"a": 1, "b": 2, "c": 1, "d": 2}
    assert len(table.memtable) == 4


def test_deleted_records_are_gone_and_unknown_ids_are_passed_over() -> None:
    table = Table()
    table.upsert("abc", 1)
    table.delete("bx")
    assert table.found == seen(table.view()) == {"a": 1, "c": 1}
    assert table.memtable.locate("b") is None
    table.upsert("b", 2)
    assert table.found["b"] == 2


def test_a_batch_may_span_blocks() -> None:
    table = Table()
    table.upsert("abcdefghij", 1)
    assert sorted(table.memtable.blocks) == [0, 1, 2]
    assert seen(table.view()) == dict.fromkeys("abcdefghij", 1.0)


def test_blocks_are_taken_as_they_are_behind_what_is_there() -> None:
    table = Table()
    table.upsert("ab", 1)
    view = table.view()
    full, half = table.upsert_blocks("bcdefg", 2)
    assert (table.memtable.blocks[1], table.memtable.blocks[2]) == (full, half)
    assert table.found == seen(table.view()) == {"a": 1, **dict.fromkeys("bcdefg", 2.0)}
    assert seen(view) == {"a": 1, "b": 1}
    assert table.ids() == "a b c d e f g"
    table.upsert("gh", 3)
    assert half.ids == [*"fggh"], "the last one is filled up"
    assert table.found == seen(table.view()) == {"a": 1, **dict.fromkeys("bcdef", 2.0), "g": 3, "h": 3}


def test_blocks_of_few_rows_are_copied() -> None:
    table = Table()
    for number, id_ in enumerate("abcd"):
        table.upsert_blocks(id_, number)
    assert list(table.memtable.blocks) == [0]
    assert table.found == seen(table.view()) == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_blocks_count_in_the_tally_like_batches() -> None:
    written = {id_: PlainRecord((1.0,), {1: 1.0, 2: 2.0}) for id_ in "abcd"}
    memtables = [Memtable(1), Memtable(1)]
    for lsn in (1, 2):
        memtables[0].upsert(batch(written), lsn)
        (block,) = blocks_of([batch(written)], 1)
        memtables[1].upsert(block, lsn)
    assert memtables[0].tally == memtables[1].tally == (16, 4)
    assert memtables[0].size_bytes == memtables[1].size_bytes


def test_a_full_block_with_a_minority_alive_is_given_back() -> None:
    table = Table()
    table.upsert("abcde", 1)
    table.delete("ab")
    assert 0 in table.memtable.blocks
    table.delete("c")
    assert 0 not in table.memtable.blocks
    assert table.found == seen(table.view()) == {"d": 1, "e": 1}


def test_a_block_without_living_rows_is_given_back() -> None:
    table = Table()
    table.upsert("abcd", 1)
    table.upsert("abcd", 2)
    assert list(table.memtable.blocks) == [1]
    table.delete("abcd")
    assert table.memtable.blocks == {}
    assert table.found == {}


def test_a_block_that_is_not_full_stays() -> None:
    table = Table()
    table.upsert("abc", 1)
    table.delete("abc")
    assert list(table.memtable.blocks) == [0]
    table.upsert("d", 2)
    assert seen(table.view()) == {"d": 2}


def test_a_block_that_is_not_full_is_given_back_when_many_of_its_rows_are_dead(monkeypatch) -> None:
    monkeypatch.setattr("pinyon.engine.memtable._DEAD_ROWS_MIN", 2)
    table = Table()
    table.upsert("abc", 1)
    table.delete("ab")
    assert list(table.memtable.blocks) == [1], "rows that were not given out in block 0 never are"
    table.upsert("def", 2)
    assert table.found == seen(table.view()) == {"c": 1, "d": 2, "e": 2, "f": 2}


def test_the_tally_counts_rows_that_move_as_dead_and_as_written() -> None:
    memtable = Memtable(1)
    memtable.upsert(batch({id_: PlainRecord((1.0,), {1: 1.0, 2: 2.0}) for id_ in "abcd"}), 1)
    assert memtable.tally == (8, 0)
    memtable.delete(["a", "b"], 2)
    assert memtable.tally == (8, 2)
    memtable.delete(["c"], 3)
    assert 0 not in memtable.blocks
    assert memtable.tally == (10, 4)
    memtable.upsert(batch({"d": PlainRecord((1.0,)), "e": PlainRecord((1.0,))}), 4)
    assert memtable.tally == (10, 5)


def test_rows_that_move_may_tip_no_block_and_fill_several() -> None:
    table = Table()
    table.upsert("abcdefghijkl", 1)
    table.upsert("abcefgij", 2)
    assert table.found == seen(table.view()) == {**dict.fromkeys("abcefgij", 2.0), **dict.fromkeys("dhkl", 1.0)}


def test_views_keep_what_they_saw_while_rows_move() -> None:
    table = Table()
    views = []
    for number in range(20):
        table.upsert("abcdefg"[number % 3 :: 2], number)
        views.append((table.view(), dict(table.found)))
        if number % 4 == 3:
            table.delete("ac")
            views.append((table.view(), dict(table.found)))
    assert [seen(view) for view, _ in views] == [found for _, found in views]


def test_memory_does_not_grow_with_overwriting() -> None:
    table = Table()
    for number in range(200):
        table.upsert("abcdef", number)
    assert len(table.memtable.blocks) <= 4


def test_ids_come_in_byte_order_with_a_prefix_after_an_id() -> None:
    table = Table()
    memtable = table.memtable
    memtable.upsert(batch({id_: PlainRecord((0,)) for id_ in ["b", "a", "ab", "abc", "ac", "Z", "a~"]}), 1)
    assert table.ids() == "Z a ab abc ac a~ b"
    assert table.ids("a") == "a ab abc ac a~"
    assert table.ids("ab") == "ab abc"
    assert table.ids("a", after="ab") == "abc ac a~"
    assert table.ids("a", after="Z") == "a ab abc ac a~"
    assert table.ids("a", after="aa") == "ab abc ac a~"
    assert table.ids("a", after="b") == ""
    assert table.ids(after="b") == ""
    assert table.ids("x") == ""


def test_ids_follow_writes_and_deletes() -> None:
    table = Table()
    table.upsert("db")
    assert table.ids() == "b d"
    table.upsert("bca")
    table.delete("d")
    assert table.ids() == "a b c"
    table.upsert("d")
    assert table.ids() == "a b c d"
    table.delete("abc")
    assert table.ids() == "d"
    table.upsert("a")
    assert table.ids() == "a d"


@pytest.mark.parametrize("kept", ["", "k"])
def test_ids_that_come_and_go_unlisted_are_not_kept(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable_module, "_STALE_IDS_MAX", 10)
    table = Table()
    for number in range(100):
        table.upsert(kept + chr(ord("A") + number % 20))
        table.delete(chr(ord("A") + number % 20))
    assert len(table.memtable._unsorted_ids) + len(table.memtable._sorted_ids) <= 20
    assert table.ids() == kept


def test_overwriting_beside_a_new_record_keeps_no_ids() -> None:
    table = Table()
    for number in range(20):
        table.upsert("abcdefgh" + chr(ord("A") + number))
    assert len(table.memtable._unsorted_ids) == len(table.memtable)
