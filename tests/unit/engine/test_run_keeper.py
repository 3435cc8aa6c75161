"""Runs are built in the background, and no read, at any moment, can tell."""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pinyon.engine import memtable, run_keeper
from pinyon.engine.background import Background, RunLater, Work
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, PatchRecords, UpsertRecords
from pinyon.engine.runs import Run, RunOptions, Stretch
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import MemtableView, View
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch, sparse_vector
from tests.unit.engine.searched_index import definition_of

DEFINITION = IndexDefinition(
    name="i",
    index_id="1",
    vector_type=VectorType.SPARSE,
    dimension=None,
    metric=Metric.DOTPRODUCT,
    deployment=Deployment(kind="serverless"),
)
OPTIONS = RunOptions(tail_values_min=10, dead_rows_min=5, values_per_part=0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable, "block_rows", lambda _: 8)


@pytest.fixture
def later() -> deque[Work]:
    """Work that waits until a test does it."""
    return deque()


@pytest.fixture
def index(later: deque[Work]) -> Index:
    return open_index(MemoryStorage(), later.append)


def open_database(storage: MemoryStorage, run_later: RunLater | None, options: RunOptions = OPTIONS) -> Database:
    salts = itertools.count()
    return Database(
        storage,
        new_salt=lambda: next(salts).to_bytes(16, "little"),
        log_file_bytes_max=10_000_000,
        run_later=run_later,
        run_options=options,
    )


def open_index(storage: MemoryStorage, run_later: RunLater | None, options: RunOptions = OPTIONS) -> Index:
    return open_database(storage, run_later, options).create(DEFINITION)


def work_off(later: deque[Work]) -> int:
    count = 0
    while later:
        later.popleft()()
        count += 1
    return count


def ids(first: int, end: int) -> list[str]:
    return [f"{number:04}" for number in range(first, end)]


def upsert(names: list[str], weight: float = 1.0, term: int = 1) -> UpsertRecords:
    """Records with one term of their own and `term`."""
    records = {name: PlainRecord(None, {term: weight, 1000 + int(name): 1.0}) for name in names}
    return UpsertRecords("n", batch(records))


def found(index: Index, query: Mapping[int, float] | None = None, view: View | None = None) -> dict[str, float]:
    plan = SearchPlan(
        Metric.DOTPRODUCT,
        10_000,
        None,
        sparse_vector(query or {1: 1.0}),
        None,
        include_values=False,
        include_metadata=False,
    )
    return {match.id: match.score for match in index.search(view or index.read("n")[0], plan)}


def runs_of(index: Index) -> tuple[Run, ...]:
    return tuple(run for each in index.read("n")[0].memtables for run in each.runs.runs)


def row_counts(index: Index) -> list[int]:
    return [len(run.row_numbers) for run in runs_of(index)]


def test_a_tail_becomes_a_run_when_it_is_long_enough(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 4)))
    assert not later
    index.write(upsert(ids(4, 5)))
    assert len(later) == 1
    assert row_counts(index) == []
    assert work_off(later) == 1
    assert row_counts(index) == [5]
    assert index.read("n")[0].memtables[0].tail() == ()
    assert found(index) == dict.fromkeys(ids(0, 5), 1.0)


def test_a_namespace_waits_for_one_build_at_a_time(index: Index, later: deque[Work]) -> None:
    for number in range(0, 30, 5):
        index.write(upsert(ids(number, number + 5)))
    assert len(later) == 1
    assert work_off(later) == 1
    assert row_counts(index) == [30]


def test_small_runs_are_joined_and_large_ones_are_left_alone(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 100)))
    work_off(later)
    (large,) = runs_of(index)
    for number in range(100, 120, 5):
        index.write(upsert(ids(number, number + 5)))
        work_off(later)
    assert row_counts(index) == [100, 20]
    assert runs_of(index)[0] is large
    assert found(index) == dict.fromkeys(ids(0, 120), 1.0)


def test_no_run_holds_more_than_it_may_unless_one_block_does(later: deque[Work]) -> None:
    index = open_index(MemoryStorage(), later.append, RunOptions(tail_values_min=10, run_values_max=40))
    index.write(upsert(ids(0, 60)))
    work_off(later)
    assert row_counts(index) == [16, 16, 16, 12]
    narrow = open_index(MemoryStorage(), later.append, RunOptions(tail_values_min=10, run_values_max=1))
    narrow.write(upsert(ids(0, 20)))
    work_off(later)
    assert row_counts(narrow) == [8, 8, 4]


def test_dead_rows_are_hidden_at_once_and_dropped_when_they_are_many(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 40)))
    work_off(later)
    index.write(DeleteRecords("n", ids(0, 9)))
    assert not later
    assert found(index) == dict.fromkeys(ids(9, 40), 1.0)
    assert row_counts(index) == [40]
    index.write(DeleteRecords("n", ids(9, 10)))
    assert work_off(later) == 1
    assert sum(row_counts(index)) == 30
    assert found(index) == dict.fromkeys(ids(10, 40), 1.0)


def test_deaths_are_counted_until_somebody_looks_for_them(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 80)))
    work_off(later)
    index.write(DeleteRecords("n", ids(0, 19)))
    assert not later
    index.write(upsert(ids(100, 105)))
    assert work_off(later) == 1
    assert row_counts(index) == [80, 5]
    index.write(DeleteRecords("n", ids(19, 22)))
    assert work_off(later) == 1
    assert sum(row_counts(index)) == 80 - 22 + 5


def test_only_runs_with_many_dead_rows_are_built_anew(later: deque[Work]) -> None:
    options = RunOptions(tail_values_min=10, run_values_max=48, dead_rows_min=5, values_per_part=0)
    index = open_index(MemoryStorage(), later.append, options)
    index.write(upsert(ids(0, 72)))
    work_off(later)
    first, _, third = runs_of(index)
    # Not so many that a block is given back, whose rows would move to the end.
    index.write(DeleteRecords("n", [name for start in (24, 32, 40) for name in ids(start, start + 3)]))
    assert not later
    index.write(DeleteRecords("n", [name for start in (24, 32, 40) for name in ids(start + 3, start + 4)]))
    index.write(DeleteRecords("n", ids(0, 3) + ids(48, 51)))
    assert work_off(later) == 1
    assert row_counts(index) == [24, 12, 24]
    assert runs_of(index)[0] is first
    assert runs_of(index)[2] is third
    assert len(found(index)) == 72 - 12 - 6


def test_everything_may_die(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 40)))
    work_off(later)
    index.write(DeleteRecords("n", ids(0, 40)))
    work_off(later)
    assert row_counts(index) == []
    assert found(index) == {}
    index.write(upsert(ids(0, 5)))
    work_off(later)
    assert found(index) == dict.fromkeys(ids(0, 5), 1.0)


def test_overwriting_for_ever_leaves_one_small_run(index: Index, later: deque[Work]) -> None:
    for weight in range(1, 60):
        index.write(upsert(ids(0, 20), weight))
        work_off(later)
        assert found(index) == dict.fromkeys(ids(0, 20), float(weight))
        assert sum(row_counts(index)) <= 60


def test_what_happens_while_a_run_is_built_is_right_when_it_is_published(
    index: Index, later: deque[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletes, overwrites and blocks given back, between the view that a run is built from and its publication."""
    real_built = run_keeper.built

    def built_in_between(view: MemtableView, stretch: Stretch) -> Run | None:
        index.write(DeleteRecords("n", ids(0, 8)))
        index.write(upsert(ids(8, 12), 2.0))
        run = real_built(view, stretch)
        index.write(DeleteRecords("n", ids(12, 21)))
        index.write(upsert(ids(21, 22), 3.0, term=2))
        return run

    index.write(upsert(ids(0, 30)))
    monkeypatch.setattr(run_keeper, "built", built_in_between)
    later.popleft()()
    monkeypatch.setattr(run_keeper, "built", real_built)
    assert row_counts(index) == [30]
    expected = dict.fromkeys(ids(8, 12), 2.0) | dict.fromkeys(ids(22, 30), 1.0)
    assert found(index) == expected
    assert found(index, {2: 1.0}) == {"0021": 3.0}
    work_off(later)
    assert found(index) == expected


def test_a_view_taken_before_a_run_is_published_keeps_its_own(index: Index, later: deque[Work]) -> None:
    views = []
    for number in range(0, 40, 5):
        views.append((index.read("n")[0], number))
        index.write(upsert(ids(number, number + 5)))
        views.append((index.read("n")[0], number + 5))
        work_off(later)
        views.append((index.read("n")[0], number + 5))
        index.write(DeleteRecords("n", []))
    index.write(DeleteRecords("n", ids(0, 40)))
    work_off(later)
    for view, count in views:
        assert found(index, view=view) == dict.fromkeys(ids(0, count), 1.0)
        assert index.sparse_frequencies(view, np.array([1, 1003, 7], np.uint32)) == (count, [count, int(count > 3), 0])


@pytest.mark.parametrize("keep_declared", [False, True])
def test_a_namespace_that_was_deleted_meanwhile_is_not_brought_back(
    index: Index, later: deque[Work], keep_declared: bool
) -> None:
    index.write(upsert(ids(0, 20)))
    index.write(DeleteNamespace("n", keep_declared))
    work_off(later)
    assert found(index) == {}
    assert row_counts(index) == []


def test_a_namespace_of_the_same_name_has_runs_of_its_own(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 20)))
    index.write(DeleteNamespace("n"))
    index.write(upsert(ids(5, 15), 2.0))
    assert len(later) == 2
    later.popleft()()
    assert row_counts(index) == []
    assert found(index) == dict.fromkeys(ids(5, 15), 2.0)
    work_off(later)
    assert row_counts(index) == [10]
    assert found(index) == dict.fromkeys(ids(5, 15), 2.0)


def test_records_without_sparse_values_cost_nothing(later: deque[Work]) -> None:
    definition = definition_of(1, Metric.DOTPRODUCT)
    index = open_database(MemoryStorage(), later.append).create(definition)
    records = {name: PlainRecord((1.0,)) for name in ids(0, 500)}
    index.write(UpsertRecords("n", batch(records)))
    index.write(DeleteRecords("n", ids(0, 400)))
    assert not later
    index.write(PatchRecords("n", batch({name: PlainRecord(None, {1: 1.0}) for name in ids(480, 490)})))
    work_off(later)
    assert row_counts(index) == [10]


def test_a_restart_builds_the_runs_again(later: deque[Work]) -> None:
    storage = MemoryStorage()
    database = open_database(storage, None)
    database.create(DEFINITION).write(upsert(ids(0, 20)))
    database.close()
    again = open_database(storage, later.append)
    assert work_off(later) == 1
    assert row_counts(again.index("i")) == [20]
    assert found(again.index("i")) == dict.fromkeys(ids(0, 20), 1.0)


def test_searches_that_lose_time_to_several_runs_have_them_joined(later: deque[Work]) -> None:
    options = RunOptions(tail_values_min=10, values_per_part=20)
    index = open_index(MemoryStorage(), later.append, options)
    index.write(upsert(ids(0, 100)))
    work_off(later)
    index.write(upsert(ids(100, 105)))
    work_off(later)
    index.write(upsert(ids(105, 106)))
    assert row_counts(index) == [100, 5]
    # Each search looks at two parts beyond the first: the second run, and the tail.
    for _ in range(6):
        assert len(found(index)) == 106
        assert not later
    assert len(found(index)) == 106
    index.read("n")
    assert work_off(later) == 1
    assert row_counts(index) == [106]
    for _ in range(100):
        assert len(found(index)) == 106
    assert not later


def test_searches_of_a_small_namespace_build_nothing(later: deque[Work]) -> None:
    index = open_index(MemoryStorage(), later.append, RunOptions(values_per_part=1000))
    index.write(upsert(ids(0, 30)))
    for _ in range(20):
        assert len(found(index)) == 30
    assert not later


def test_without_a_background_everything_is_scanned() -> None:
    index = open_index(MemoryStorage(), None)
    for number in range(0, 60, 10):
        index.write(upsert(ids(number, number + 10)))
    assert row_counts(index) == []
    assert found(index) == dict.fromkeys(ids(0, 60), 1.0)


def test_a_closed_index_builds_no_more(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 20)))
    index.close()
    assert work_off(later) == 1
    assert row_counts(index) == []
    assert found(index) == dict.fromkeys(ids(0, 20), 1.0)


def test_an_index_that_is_closed_while_a_run_is_built_does_not_publish_it(
    later: deque[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(MemoryStorage(), later.append, RunOptions(tail_values_min=10, run_values_max=20))
    index.write(upsert(ids(0, 40)))
    real_built, built_count = run_keeper.built, 0

    def close_in_between(view: MemtableView, stretch: Stretch) -> Run | None:
        nonlocal built_count
        built_count += 1
        index.close()
        return real_built(view, stretch)

    monkeypatch.setattr(run_keeper, "built", close_in_between)
    assert work_off(later) == 1
    assert built_count == 1
    assert row_counts(index) == []


def test_what_was_written_while_a_run_was_built_is_built_next(
    index: Index, later: deque[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_built = run_keeper.built

    def write_in_between(view: MemtableView, stretch: Stretch) -> Run | None:
        monkeypatch.setattr(run_keeper, "built", real_built)
        index.write(upsert(ids(20, 30)))
        return real_built(view, stretch)

    monkeypatch.setattr(run_keeper, "built", write_in_between)
    index.write(upsert(ids(0, 20)))
    assert work_off(later) == 2
    assert row_counts(index) == [30]


def test_a_build_that_fails_is_tried_again_after_the_next_write(
    index: Index, later: deque[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(view: MemtableView, stretch: Stretch) -> Run | None:
        raise MemoryError

    index.write(upsert(ids(0, 20)))
    with monkeypatch.context() as patch:
        patch.setattr(run_keeper, "built", fail)
        with pytest.raises(MemoryError):
            later.popleft()()
    assert not later
    assert found(index) == dict.fromkeys(ids(0, 20), 1.0)
    index.write(upsert(ids(20, 21)))
    assert work_off(later) == 1
    assert row_counts(index) == [21]


def test_the_lock_is_not_held_while_a_run_is_built(
    index: Index, later: deque[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_built = run_keeper.built
    held: list[bool] = []

    def look(view: MemtableView, stretch: Stretch) -> Run | None:
        held.append(index._state.lock.locked())
        return real_built(view, stretch)

    monkeypatch.setattr(run_keeper, "built", look)
    index.write(upsert(ids(0, 20)))
    work_off(later)
    assert held == [False]


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.close()


def test_a_stop_comes_through_while_runs_are_built(
    background: Background, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = open_database(MemoryStorage(), background.submit, RunOptions(tail_values_min=10, run_values_max=20))
    index = database.create(DEFINITION)
    is_building, may_build = threading.Event(), threading.Event()
    real_built = run_keeper.built

    def wait(view: MemtableView, stretch: Stretch) -> Run | None:
        is_building.set()
        may_build.wait()
        return real_built(view, stretch)

    monkeypatch.setattr(run_keeper, "built", wait)
    index.write(upsert(ids(0, 100)))
    is_building.wait()
    database.close()  # Does not wait for the run.
    may_build.set()
    background.close()
    assert row_counts(index) == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_searches_are_right_while_writers_write_and_runs_are_built(background: Background) -> None:
    """Each request gives all records of a namespace one weight; a search that sees two of them saw half a request."""
    options = RunOptions(tail_values_min=60, run_values_max=400, dead_rows_min=30, values_per_part=5)
    index = open_index(MemoryStorage(), background.submit, options)
    names = ids(0, 50)
    index.write(upsert(names, 1.0))
    stopped = threading.Event()

    def write_all() -> None:
        for weight in range(2, 80):
            index.write(upsert(names, float(weight)))

    def read_until_stopped() -> set[tuple[int, int, int]]:
        seen = set()
        while not stopped.is_set():
            view, _ = index.read("n")
            scores = found(index, view=view)
            _, (frequency, _) = index.sparse_frequencies(view, np.array([1, 1003], np.uint32))
            seen.add((len(scores), len(set(scores.values())), frequency))
        return seen

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read_until_stopped) for _ in range(2)]
        writers = [pool.submit(write_all) for _ in range(2)]
        for writer in writers:
            writer.result()
        stopped.set()
        assert set().union(*(reader.result() for reader in readers)) == {(50, 1, 50)}
    background.drain()
    assert runs_of(index)
    assert len(found(index)) == 50


def test_rows_that_died_before_the_build_are_not_in_the_run(index: Index, later: deque[Work]) -> None:
    index.write(upsert(ids(0, 20)))
    index.write(DeleteRecords("n", ids(0, 10)))
    work_off(later)
    assert row_counts(index) == [10]
