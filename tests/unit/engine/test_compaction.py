"""Which segments are merged, and that what happens meanwhile is neither lost nor brought back."""

from collections.abc import Callable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest

from pinyon.engine import compaction, flush, publish
from pinyon.engine.compaction import CompactionOptions, choose
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, Operation, PatchRecords, UpsertRecords
from pinyon.engine.part import LiveSegment
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.segment_store import SegmentStore
from pinyon.errors import UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.metric import Metric
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch, plain_record
from tests.unit.engine.searched_index import definition_of

OPTIONS = CompactionOptions(fan_in=3, idle_fan_in=2, growth=2, idle_growth=4, segment_rows_max=1000, dead_share=0.25)
LSN = 50


def segment(rows: int, dead: int = 0, *, number: int = 0, kind: str | None = None, dead_lsn: int = LSN) -> Any:
    """A segment of which `dead` rows died at `dead_lsn`."""
    is_dead = np.arange(rows) < dead
    return SimpleNamespace(
        number=number,
        row_count=rows,
        dead_count=dead,
        alive_count=rows - dead,
        structures=None if kind is None else object(),
        has_graph=kind is not None and kind.startswith("graph"),
        segment=SimpleNamespace(namespaces=[SimpleNamespace(name=kind)], extra_count=lambda _: 0),
        dead_at=lambda lsn: is_dead if dead and lsn >= dead_lsn else None,
    )


def chosen(segments: Sequence[Any], *, is_idle: bool = False) -> list[tuple[int, int]]:
    return [(live.row_count, live.dead_count) for live in choose(segments, LSN, OPTIONS, is_idle=is_idle)]


@pytest.mark.parametrize(
    ("sizes", "busy", "idle"),
    [
        ([], [], []),
        ([10], [], []),
        ([10, 10], [], [10, 10]),
        ([10, 10, 10], [10, 10, 10], [10, 10, 10]),
        ([100, 10, 10, 10], [10, 10, 10], [10, 10, 10, 100]),
        ([121, 10, 10, 10], [10, 10, 10], [10, 10, 10]),
        ([60, 10, 10, 10], [10, 10, 10, 60], [10, 10, 10, 60]),
        ([61, 10, 10, 10], [10, 10, 10], [10, 10, 10, 61]),
        ([40, 10, 10, 10], [10, 10, 10, 40], [10, 10, 10, 40]),
        ([10, 41], [], []),
        ([10, 40], [], [10, 40]),
        ([10, 10, 41], [], [10, 10, 41]),
        ([10, 10, 40], [10, 10, 40], [10, 10, 40]),
        ([10, 10, 81], [], [10, 10]),
        ([1, 10, 100], [], []),
        ([300, 300, 300, 300], [300, 300, 300], [300, 300, 300]),
        ([600, 600, 600], [], []),
        ([600, 1001], [], []),
    ],
)
def test_segments_of_similar_size_are_merged_the_smallest_first(
    sizes: list[int], busy: list[int], idle: list[int]
) -> None:
    segments = [segment(size, number=number) for number, size in enumerate(sizes)]
    assert [rows for rows, _ in chosen(segments)] == busy
    assert [rows for rows, _ in chosen(segments, is_idle=True)] == idle


def test_only_segments_of_one_kind_are_merged() -> None:
    kinds = [None, "a", "b", None, "a", "b", "b"]
    segments = [segment(10 + number, number=number, kind=kind) for number, kind in enumerate(kinds)]
    assert [rows for rows, _ in chosen(segments)] == [12, 15, 16]
    assert [rows for rows, _ in chosen(segments, is_idle=True)] == [10, 13]


@pytest.mark.parametrize(("kind", "merged"), [("a", [2, 900]), ("graph", [])])
def test_a_pause_merges_a_small_rest_with_a_large_segment_that_has_no_graph_yet(kind: str, merged: list[int]) -> None:
    segments = [segment(900, kind=kind), segment(2, number=1, kind=kind)]
    assert [rows for rows, _ in chosen(segments, is_idle=True)] == merged


def test_a_segment_with_many_dead_rows_is_written_anew() -> None:
    assert chosen([segment(100, 24), segment(500, 100)]) == []
    assert chosen([segment(100, 25), segment(500, 100)]) == [(100, 25)]
    assert chosen([segment(1000, 300, kind="n")]) == [(1000, 300)]


def test_deaths_that_are_not_durable_yet_are_no_reason_to_write_a_segment_anew() -> None:
    """They would have to stay in the new segment, which would be written anew at once, and so on."""
    assert chosen([segment(100, 100, dead_lsn=LSN + 1)], is_idle=True) == []


def test_rows_that_are_dead_count_for_nothing_when_sizes_are_compared() -> None:
    assert chosen([segment(1000, 990), segment(10), segment(12)]) == [(1000, 990), (10, 0), (12, 0)]


# Merging.


@pytest.fixture(params=[1, 4, 1000], ids=["dedicated", "both", "shared"])
def options(request: pytest.FixtureRequest) -> MaintenanceOptions:
    return MaintenanceOptions(build=BuildOptions(dedicated_rows_min=request.param), graph_rows_min=0)


Found: TypeAlias = dict[str, tuple[float, dict[str, object]]]


class Opened:
    """An index that can be opened again."""

    def __init__(self, options: MaintenanceOptions) -> None:
        self._storage = MemoryStorage()
        self._options = options
        self._salts = count()
        self._database = self._open()
        self._database.create(definition_of(1, Metric.DOTPRODUCT))

    def _open(self) -> Database:
        return Database(
            self._storage,
            new_salt=lambda: next(self._salts).to_bytes(16, "little"),
            log_file_bytes_max=100,
            maintenance_options=self._options,
        )

    @property
    def index(self) -> Index:
        return self._database.index("i")

    def write(self, *operations: Operation) -> None:
        for operation in operations:
            self.index.write(operation)

    def flush(self, *operations: Operation) -> None:
        self.write(*operations)
        self.index.maintenance.flush()

    def compact(self) -> None:
        state, options = self.index._state, self._options.build
        compaction.compact(state, list(state.store.segments.values()), options)

    def restart(self) -> None:
        self._database.close()
        self._database = self._open()

    def found(self, name: str = "n") -> Found:
        view, records = self.index.read(name, [*"abcdefgh"])
        assert view.record_count == len(records) == self.index.record_counts()[1].get(name, 0)
        plain = {record.id: plain_record(record) for record in records}
        return {id_: ((record.dense or (0.0,))[0], dict(record.metadata)) for id_, record in plain.items()}


def upsert(ids: str, number: float, name: str = "n") -> UpsertRecords:
    return UpsertRecords(name, batch({id_: PlainRecord((number,)) for id_ in ids}))


def patch(ids: str, **metadata: Any) -> PatchRecords:
    return PatchRecords("n", batch({id_: PlainRecord(None, {}, metadata) for id_ in ids}))


def interrupt(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, do: Callable[[], object]) -> None:
    """Let something happen before a function is called, once."""
    function = getattr(module, name)

    def called(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(module, name, function)
        do()
        return function(*args, **options)

    monkeypatch.setattr(module, name, called)


def test_a_merge_leaves_the_newest_of_each_record(options: MaintenanceOptions) -> None:
    opened = Opened(options)
    opened.flush(upsert("abcde", 1))
    opened.flush(upsert("bcf", 2), upsert("ab", 5, "other"))
    opened.flush(DeleteRecords("n", ["a", "f"]), upsert("g", 3))
    opened.compact()
    expected: Found = {"b": (2.0, {}), "c": (2.0, {}), "d": (1.0, {}), "e": (1.0, {}), "g": (3.0, {})}
    for _ in range(2):
        assert opened.found() == expected
        assert opened.found("other") == {"a": (5.0, {}), "b": (5.0, {})}
        assert sum(live.row_count for live in opened.index._state.store.segments.values()) == 7
        opened.restart()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (compaction, "build_all"),
        (compaction, "hand_down_deaths"),
        (compaction, "publish_compaction"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_written_while_segments_are_merged_counts(
    options: MaintenanceOptions, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1), upsert("ab", 5, "other"))
    opened.flush(upsert("def", 2))
    interrupt(
        monkeypatch,
        module,
        name,
        lambda: opened.write(
            DeleteRecords("n", ["a", "d"]), upsert("be", 3), patch("f", genre="drama"), DeleteNamespace("other")
        ),
    )
    opened.compact()
    expected = {"b": (3.0, {}), "c": (1.0, {}), "e": (3.0, {}), "f": (2.0, {"genre": "drama"})}
    for _ in range(2):
        assert opened.found() == expected
        assert opened.found("other") == {}
        opened.restart()
    opened.flush()
    opened.compact()
    opened.restart()
    assert opened.found() == expected


def test_a_flush_while_segments_are_merged_counts(options: MaintenanceOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.flush(upsert("def", 2))
    interrupt(
        monkeypatch, compaction, "build_all", lambda: opened.flush(DeleteRecords("n", ["a", "d"]), upsert("bg", 3))
    )
    opened.compact()
    expected: Found = {"b": (3.0, {}), "c": (1.0, {}), "e": (2.0, {}), "f": (2.0, {}), "g": (3.0, {})}
    for _ in range(2):
        assert opened.found() == expected
        opened.restart()


def test_rows_that_died_after_the_manifest_stay_because_the_log_may_need_them(options: MaintenanceOptions) -> None:
    """A restart replays a patch of a row: it must find the row as it was before it died of that patch."""
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.flush(upsert("def", 2))
    opened.write(patch("ad", genre="drama"), DeleteRecords("n", ["b"]))
    opened.compact()
    for _ in range(2):
        assert opened.found() == {
            "a": (1.0, {"genre": "drama"}),
            "c": (1.0, {}),
            "d": (2.0, {"genre": "drama"}),
            "e": (2.0, {}),
            "f": (2.0, {}),
        }
        opened.restart()


@pytest.mark.parametrize("moment", ["frozen", "build_all", "hand_down_deaths", "publish_flush"])
@pytest.mark.parametrize("following", [(Opened.restart, Opened.flush), (Opened.flush, Opened.restart)])
def test_what_is_written_during_a_flush_counts(
    options: MaintenanceOptions,
    moment: str,
    following: Sequence[Callable[[Opened], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that die after the freeze are in the segment: the log may need them."""

    def write() -> None:
        opened.write(DeleteRecords("n", ["a"]), upsert("b", 3), patch("cd", genre="drama"), DeleteNamespace("other"))

    opened = Opened(options)
    opened.write(upsert("abcde", 1), upsert("ab", 5, "other"))
    if moment == "frozen":
        opened.index.maintenance.flusher._frozen = flush.freeze(opened.index._state)
        write()
    else:
        interrupt(monkeypatch, flush, moment, write)
    opened.flush()
    for step in (*following, Opened.restart):
        assert opened.found() == {
            "b": (3.0, {}),
            "c": (1.0, {"genre": "drama"}),
            "d": (1.0, {"genre": "drama"}),
            "e": (1.0, {}),
        }
        assert opened.found("other") == {}
        step(opened)


def test_a_namespace_that_is_deleted_and_created_again_keeps_only_what_is_new(options: MaintenanceOptions) -> None:
    opened = Opened(options)
    opened.flush(upsert("abcd", 1), upsert("xyz", 9, "other"))
    opened.flush(upsert("ef", 2))
    opened.write(DeleteNamespace("n"), upsert("ag", 3))
    opened.compact()
    assert opened.found() == {"a": (3.0, {}), "g": (3.0, {})}
    opened.restart()
    assert opened.found() == {"a": (3.0, {}), "g": (3.0, {})}
    opened.flush()
    opened.compact()
    opened.restart()
    assert opened.found() == {"a": (3.0, {}), "g": (3.0, {})}
    assert sum(live.row_count for live in opened.index._state.store.segments.values()) == 5


def test_an_id_that_is_named_twice_dies_once(options: MaintenanceOptions) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.write(DeleteRecords("n", ["a", "a", "x"]))
    assert opened.found() == {"b": (1.0, {}), "c": (1.0, {})}
    assert [live.dead_count for live in opened.index._state.store.segments.values()] == [1]


def test_a_segment_without_living_rows_goes(options: MaintenanceOptions) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.flush(DeleteRecords("n", ["a", "b", "c"]))
    assert opened.index._state.store.segments == {}
    assert opened.index.read("n")[0].parts == ()
    opened.flush(upsert("a", 2))
    opened.restart()
    assert opened.found() == {"a": (2.0, {})}
    assert opened.index.has_namespace("n")


def test_only_what_died_since_is_handed_down_under_the_lock(
    options: MaintenanceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(options)
    opened.flush(upsert("abcd", 1))
    opened.flush(upsert("efgh", 2))
    opened.write(DeleteRecords("n", ["a", "b", "e"]))
    state = opened.index._state
    handed_down: list[int] = []
    mark_dead = LiveSegment.mark_dead

    def watched(live: LiveSegment, rows: Any, lsn: Any) -> None:
        if state.lock.locked() and live.number not in before:
            handed_down.append(len(rows))
        mark_dead(live, rows, lsn)

    before = set(state.store.segments)
    monkeypatch.setattr(LiveSegment, "mark_dead", watched)
    interrupt(monkeypatch, compaction, "publish_compaction", lambda: opened.write(DeleteRecords("n", ["c", "g"])))
    opened.compact()
    assert sum(handed_down) == 2
    assert opened.found().keys() == {*"dfh"}


# What fails.


def fail() -> None:
    raise MemoryError


def flushed_and_merged(opened: Opened) -> None:
    opened.flush()
    opened.compact()


BEFORE_A_COMMIT = [
    (flush, "build_all"),
    (flush, "hand_down_deaths"),
    (compaction, "build_all"),
    (compaction, "hand_down_deaths"),
    (SegmentStore, "commit"),
]
AFTER_A_COMMIT = [
    (SegmentStore, "_remove_unneeded"),
    (flush, "publish_flush"),
    (flush, "forget"),
    (publish, "_add_part"),
    (compaction, "publish_compaction"),
    (compaction, "forget"),
    (publish, "_replace_parts"),
]


@pytest.mark.parametrize(("module", "name"), BEFORE_A_COMMIT, ids=lambda each: getattr(each, "__name__", each))
def test_what_fails_before_a_commit_is_done_again(
    options: MaintenanceOptions, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.write(upsert("cde", 2))
    interrupt(monkeypatch, module, name, fail)
    with pytest.raises(MemoryError):
        flushed_and_merged(opened)
    opened.write(DeleteRecords("n", ["a", "d"]))
    flushed_and_merged(opened)
    for _ in range(2):
        assert opened.found() == {"b": (1.0, {}), "c": (2.0, {}), "e": (2.0, {})}
        opened.restart()


@pytest.mark.parametrize(("module", "name"), AFTER_A_COMMIT, ids=lambda each: getattr(each, "__name__", each))
def test_after_a_commit_that_did_not_become_visible_nothing_is_changed_until_a_restart(
    options: MaintenanceOptions,
    module: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.write(upsert("cde", 2), DeleteRecords("n", ["a"]))
    expected: Found = {"b": (1.0, {}), "c": (2.0, {}), "d": (2.0, {}), "e": (2.0, {})}
    interrupt(monkeypatch, module, name, fail)
    with pytest.raises(MemoryError):
        flushed_and_merged(opened)
    assert "restart Pinyon to recover" in caplog.text
    manifest = opened.index._state.store.manifest
    for operation in (DeleteRecords("n", ["b"]), upsert("d", 3), DeleteNamespace("n")):
        with pytest.raises(UnavailableError, match="restart Pinyon to recover"):
            opened.write(operation)
    with pytest.raises(UnavailableError, match="restart Pinyon to recover"):
        opened.index.maintenance.settle()
    assert opened.index._state.store.manifest == manifest
    assert opened.index.report().is_behind
    for _ in range(2):
        assert opened.found() == expected
        opened.restart()
    opened.write(DeleteRecords("n", ["b"]))
    flushed_and_merged(opened)
    del expected["b"]
    opened.restart()
    assert opened.found() == expected


def test_a_flush_and_a_merge_at_once_do_not_commit_after_one_that_did_not_become_visible(
    options: MaintenanceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(options)
    opened.flush(upsert("abc", 1))
    opened.flush(upsert("def", 2))
    opened.write(DeleteRecords("n", ["a"]))

    def fail_to_compact() -> None:
        interrupt(monkeypatch, compaction, "publish_compaction", fail)
        with pytest.raises(MemoryError):
            opened.compact()

    interrupt(monkeypatch, flush, "build_all", fail_to_compact)
    with pytest.raises(UnavailableError, match="restart Pinyon to recover"):
        opened.flush()
    opened.restart()
    assert opened.found().keys() == {*"bcdef"}


def test_a_log_that_could_not_be_trimmed_is_trimmed_when_the_flush_is_tried_again(
    options: MaintenanceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(options)
    opened.write(upsert("abc", 1))
    interrupt(monkeypatch, FileLog, "trim", fail)
    with pytest.raises(MemoryError):
        opened.flush()
    opened.write(DeleteRecords("n", ["a"]))
    size = opened.index._state.log.size_bytes
    opened.flush()
    assert opened.index._state.log.size_bytes < size
    opened.flush(upsert("d", 2))
    for _ in range(2):
        assert opened.found() == {"b": (1.0, {}), "c": (1.0, {}), "d": (2.0, {})}
        opened.restart()
