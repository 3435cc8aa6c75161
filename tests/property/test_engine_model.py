"""The engine against a dict: random writes, reads and restarts give the same answers, to the last bit of every score.

Numbers are multiples of a half, so that sums are exact in float64 and no answer depends on their order. Blocks hold a
few rows, so that they are given back all the time; runs are built from a few values on, at any moment; three rows of a
namespace make a segment of its own, and flushes and compactions are interrupted by writes, by one another and by
restarts. Canaries, engines with a defect, show that the machine sees them.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pinyon.engine.background import Work
from pinyon.engine.block import NEVER, Block
from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.database import Database
from pinyon.engine.flush import freeze
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.memtable import Memtable
from pinyon.engine.older_versions import OlderVersions
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
)
from pinyon.engine.part import LiveSegment, Part
from pinyon.engine.publish import NewPart
from pinyon.engine.run_keeper import _living_rows
from pinyon.engine.runs import RunOptions
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.view import BlockView, MemtableView, View
from pinyon.filter.ast import Filter
from pinyon.filter.parser import parse
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Int64s, Mask, SparseColumn, UInt32s
from pinyon.protobuf.struct import encode_metadata
from pinyon.segment.manifest import files_of
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import (
    EngineModel,
    PlainRecord,
    batch,
    listed_ids,
    matching_ids,
    plain_record,
    search,
    shown,
    sparse_frequencies,
    sparse_vector,
)
from pinyon.testing.filter_strategies import Expression, expressions, metadata

DIMENSION = 3
NAMESPACES = ("", "n", "other")
SPARSE_INDICES = (0, 1, 2, 700, 2**32 - 1)
IDS = [*"abcdefgh", "ab", "abc", "b~", "Z"]

names = st.sampled_from(NAMESPACES)
ids = st.sampled_from(IDS)
halves = st.integers(-4, 4).map(lambda number: number / 2)
dense_vectors = st.tuples(*[halves] * DIMENSION)
sparse_vectors = st.dictionaries(st.sampled_from(SPARSE_INDICES), halves, max_size=3)
some_sparse_vectors = sparse_vectors.filter(bool)
includes = st.tuples(st.booleans(), st.booleans())
top_ks = st.sampled_from([1, 2, 5, 100])
conditions = expressions().map(parse)


def records(dense: st.SearchStrategy[tuple[float, ...] | None], sparse: st.SearchStrategy[dict[int, float]]):
    return st.dictionaries(ids, st.builds(PlainRecord, dense, sparse, metadata()), min_size=1, max_size=7)


dense_records = records(dense_vectors, sparse_vectors)
sparse_records = records(st.none(), some_sparse_vectors)
vectorless_records = records(st.none(), sparse_vectors)

run_options = st.builds(
    RunOptions,
    tail_values_min=st.integers(1, 6),
    run_values_max=st.sampled_from([1, 10, 1000]),
    dead_rows_min=st.integers(1, 4),
    values_per_part=st.sampled_from([0, 1, 100]),
)
required_indices = st.none() | st.lists(st.sampled_from(SPARSE_INDICES), max_size=2).map(
    lambda indices: np.array(indices, np.uint32)
)
ways_to_sum = st.sampled_from([0, 10**9])
maintenance_options = st.builds(
    MaintenanceOptions,
    graph_rows_min=st.just(0),
    build=st.builds(BuildOptions, dedicated_rows_min=st.sampled_from([1, 3, 3, 100])),
    compaction=st.builds(
        CompactionOptions,
        fan_in=st.integers(2, 4),
        idle_fan_in=st.just(2),
        segment_rows_max=st.sampled_from([6, 1000]),
        dead_share=st.sampled_from([0.2, 0.5]),
    ),
)

FLUSH_MOMENTS = ["flush.build_all", "flush.hand_down_deaths", "flush.publish_flush", "publish._batches"]
WRITE_MOMENTS = ["namespaces._records_of", "older_versions.id_hashes"]
COMPACTION_MOMENTS = [
    "compaction.build_all",
    "compaction.hand_down_deaths",
    "compaction.publish_compaction",
    "publish._batches",
]


class EngineMachine(RuleBasedStateMachine):
    """One index, its model, and views from before the last writes, which must go on showing what they showed."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = MemoryStorage()
        self.salts = itertools.count()
        self.model = EngineModel()
        self.views: list[tuple[View, dict[str, PlainRecord]]] = []
        self.written = 0
        self.later: deque[Work] = deque()
        self.patches = ExitStack()

    @initialize(
        metric=st.sampled_from([*Metric, Metric.DOTPRODUCT, None]),
        rows_in_a_block=st.integers(1, 5),
        log_file_bytes=st.integers(0, 3000),
        options=run_options,
        maintenance=maintenance_options,
        sorted_hit_cost=ways_to_sum,
    )
    def start(
        self,
        metric: Metric | None,
        rows_in_a_block: int,
        log_file_bytes: int,
        options: RunOptions,
        maintenance: MaintenanceOptions,
        sorted_hit_cost: int,
    ) -> None:
        self.run_options = options
        self.maintenance_options = maintenance
        self.patches.enter_context(mock.patch("pinyon.engine.publish._NAMESPACES_AT_ONCE", 1))
        self.patches.enter_context(mock.patch("pinyon.ann.exact_sparse._SORTED_HIT_COST", sorted_hit_cost))
        self.patches.enter_context(mock.patch("pinyon.engine.memtable.block_rows", return_value=rows_in_a_block))
        self.patches.enter_context(mock.patch("pinyon.engine.growable._CAPACITY_MIN", 1))
        self.is_dense = metric is not None
        self.metric = metric or Metric.DOTPRODUCT
        self.log_file_bytes = log_file_bytes
        self.database = self.open()
        self.database.create(
            IndexDefinition(
                name="i",
                index_id="1",
                vector_type=VectorType.DENSE if self.is_dense else VectorType.SPARSE,
                dimension=DIMENSION if self.is_dense else None,
                metric=self.metric,
                deployment=Deployment(kind="serverless"),
            )
        )

    def open(self) -> Database:
        return Database(
            self.storage,
            new_salt=lambda: next(self.salts).to_bytes(16, "little"),
            log_file_bytes_max=self.log_file_bytes,
            run_later=self.later.append,
            run_options=self.run_options,
            maintenance_options=self.maintenance_options,
        )

    @property
    def index(self) -> Index:
        return self.database.index("i")

    def teardown(self) -> None:
        self.patches.close()

    # Writes.

    @rule(name=names, data=st.data())
    def upsert(self, name: str, data: st.DataObject) -> None:
        self.write(data.draw(self.upserts(name)))

    @rule(name=names, data=st.data())
    def patch(self, name: str, data: st.DataObject) -> None:
        self.write(data.draw(self.changes(name)))

    def upserts(self, name: str) -> st.SearchStrategy[UpsertRecords]:
        drawn = dense_records if self.is_dense else sparse_records
        return st.builds(lambda records: UpsertRecords(name, batch(records)), drawn)

    def changes(self, name: str) -> st.SearchStrategy[PatchRecords]:
        drawn = dense_records | vectorless_records if self.is_dense else vectorless_records
        return st.builds(lambda records: PatchRecords(name, batch(records)), drawn)

    @rule(name=names, gone=st.lists(ids, max_size=4))
    def delete(self, name: str, gone: list[str]) -> None:
        self.write(DeleteRecords(name, gone))

    @rule(name=names, keep_declared=st.booleans())
    def delete_namespace(self, name: str, keep_declared: bool) -> None:
        self.write(DeleteNamespace(name, keep_declared))

    @rule(name=names)
    def create_namespace(self, name: str) -> None:
        self.write(CreateNamespace(name, ("genre",)))

    @rule(name=names, condition=conditions.filter(bool))
    def delete_matching(self, name: str, condition: Filter) -> None:
        self.write_matching(name, condition, DeleteRecords(name, matching_ids(self.model.records(name), condition)))

    @rule(name=names, condition=conditions.filter(bool), change=metadata())
    def patch_matching(self, name: str, condition: Filter, change: Expression) -> None:
        found = matching_ids(self.model.records(name), condition)
        self.write_matching(name, condition, SetMetadata(name, found, encode_metadata(change)))

    def write(self, operation: Operation) -> None:
        self.take_view(operation.namespace)
        self.written += 1
        assert self.index.write(operation) == self.written
        self.model.apply(operation)

    def write_matching(self, name: str, condition: Filter, wanted: DeleteRecords | SetMetadata) -> None:
        wanted_ids = wanted.ids

        def make(found: list[str]) -> Operation | None:
            assert sorted(found) == wanted_ids
            return wanted if found else None

        self.take_view(name)
        self.written += bool(wanted_ids)
        assert self.index.write_matching(name, condition, make) == self.written
        self.model.apply(wanted)

    def take_view(self, name: str) -> None:
        view, _ = self.index.read(name)
        self.views = [*self.views[-2:], (view, dict(self.model.records(name)))]

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.database = self.open()
        for live in self.index._state.store.segments.values():
            live.segment.verify()

    @rule(count=st.integers(1, 3))
    def build_runs(self, count: int) -> None:
        """Do what waits, that of indexes too that were closed and of namespaces that were deleted meanwhile."""
        for _ in range(min(count, len(self.later))):
            self.later.popleft()()

    # Reads.

    @rule(
        name=names, data=st.data(), top_k=top_ks, condition=conditions, include=st.tuples(st.booleans(), st.booleans())
    )
    def query(
        self, name: str, data: st.DataObject, top_k: int, condition: Filter | None, include: tuple[bool, bool]
    ) -> None:
        view, _ = self.index.read(name)
        assert view.lsn == self.written
        self.check_query(view, self.model.records(name), self.draw_plan(data, top_k, condition, include))

    @rule(name=names, wanted=st.lists(st.sampled_from([*SPARSE_INDICES, 5]), max_size=4))
    def count_frequencies(self, name: str, wanted: list[int]) -> None:
        indices = np.array(wanted, np.uint32)
        view, _ = self.index.read(name)
        for seen, there in [*self.views, (view, self.model.records(name))]:
            assert self.index.sparse_frequencies(seen, indices) == sparse_frequencies(there, wanted)

    @rule(data=st.data(), condition=conditions)
    def query_views(self, data: st.DataObject, condition: Filter | None) -> None:
        plan = self.draw_plan(data, 100, condition, (True, True))
        for view, was_there in self.views:
            self.check_query(view, was_there, plan)

    @rule(name=names, condition=conditions.filter(bool), after=st.none() | ids, limit=st.integers(1, 20))
    def fetch_matching(self, name: str, condition: Filter, after: str | None, limit: int) -> None:
        lsn, found = self.index.matching_records(name, condition, after, limit)
        there = self.model.records(name)
        expected = [id_ for id_ in matching_ids(there, condition) if after is None or id_ > after][:limit]
        assert [(record.id, plain_record(record)) for record in found] == [(id_, there[id_]) for id_ in expected]
        assert lsn == self.written

    @rule(name=names, prefix=st.sampled_from(["", "a", "ab", "b", "x"]), after=st.none() | ids, limit=st.integers(1, 5))
    def list_page(self, name: str, prefix: str, after: str | None, limit: int) -> None:
        expected = listed_ids(self.model.records(name), prefix, after, limit)
        assert self.index.list_ids(name, prefix, after, limit) == (self.written, expected)

    @rule(prefix=st.sampled_from(["", "n", "x"]), after=st.none() | names, limit=st.integers(1, 3))
    def list_namespaces(self, prefix: str, after: str | None, limit: int) -> None:
        there = self.model.record_counts()
        expected = listed_ids(there, prefix, after, limit)
        total_count = sum(name.startswith(prefix) for name in there)
        assert self.index.list_namespaces(prefix, after, limit) == (expected, total_count)

    @invariant()
    def views_show_what_they_showed(self) -> None:
        one = np.ones(DIMENSION, np.float32) if self.is_dense else None
        every_index = None if self.is_dense else sparse_vector(dict.fromkeys(SPARSE_INDICES, 1.0))
        plan = SearchPlan(self.metric, 100, one, every_index, None, include_values=True, include_metadata=True)
        for view, was_there in self.views:
            self.check_query(view, was_there, plan)

    @invariant()
    def counts_and_records_agree(self) -> None:
        assert self.index.record_counts() == (self.written, self.model.record_counts())
        assert self.index.lsn == self.written
        for name in NAMESPACES:
            _, found = self.index.read(name, IDS)
            assert {record.id: plain_record(record) for record in found} == self.model.records(name)
            assert self.index.has_namespace(name) is (name in self.model.by_name)

    def draw_plan(
        self, data: st.DataObject, top_k: int, condition: Filter | None, include: tuple[bool, bool]
    ) -> SearchPlan:
        dense = data.draw(dense_vectors) if self.is_dense else None
        sparse: Mapping[int, float] = {}
        if self.metric is Metric.DOTPRODUCT:
            sparse = data.draw(sparse_vectors if self.is_dense else some_sparse_vectors)
        return SearchPlan(
            metric=self.metric,
            top_k=top_k,
            dense=None if dense is None else np.array(dense, np.float32),
            sparse=sparse_vector(sparse),
            filter=condition,
            include_values=include[0],
            include_metadata=include[1],
            required_indices=data.draw(required_indices),
        )

    def check_query(self, view: View, there: dict[str, PlainRecord], plan: SearchPlan) -> None:
        matches = self.index.search(view, plan)
        assert [(match.id, match.score) for match in matches] == search(there, plan)
        assert [plain_record(match) for match in matches] == [shown(there[match.id], plan) for match in matches]


class MaintainedMachine(EngineMachine):
    """The same, with flushes and compactions at any moment."""

    @rule()
    def freeze(self) -> None:
        """Begin a flush that is to be finished later, or never."""
        flusher = self.index.maintenance.flusher
        if flusher._frozen is None:
            flusher._frozen = freeze(flusher._state)

    @rule()
    def flush(self) -> None:
        self.index.maintenance.flush()

    @rule(is_idle=st.booleans())
    def maintain(self, is_idle: bool) -> None:
        """Do what is most urgent."""
        work = self.index.maintenance._next_work(is_idle=is_idle)
        if work is not None:
            work.run()

    @rule()
    def settle(self) -> None:
        self.flush()  # What was frozen before.
        self.index.maintenance.settle()
        assert self.index.maintenance._next_work(is_idle=True) is None

    @rule(data=st.data(), moment=st.sampled_from(FLUSH_MOMENTS), is_before=st.booleans(), compacts=st.booleans())
    def flush_interrupted(self, data: st.DataObject, moment: str, is_before: bool, compacts: bool) -> None:
        def interrupt() -> None:
            self.write_some(data)
            if compacts and moment == "flush.build_all":
                self.maintain(is_idle=True)

        with interrupted(moment, interrupt, is_before=is_before):
            self.flush()

    @rule(data=st.data(), moment=st.sampled_from(COMPACTION_MOMENTS), is_before=st.booleans(), flushes=st.booleans())
    def compaction_interrupted(self, data: st.DataObject, moment: str, is_before: bool, flushes: bool) -> None:
        def interrupt() -> None:
            self.write_some(data)
            if flushes and moment == "compaction.build_all":
                self.flush()

        with interrupted(moment, interrupt, is_before=is_before):
            self.maintain(is_idle=True)

    @rule(
        data=st.data(),
        moment=st.sampled_from(WRITE_MOMENTS),
        is_before=st.booleans(),
        work=st.sampled_from(["freeze", "flush", "maintain"]),
    )
    def write_interrupted(self, data: st.DataObject, moment: str, is_before: bool, work: str) -> None:
        def interrupt() -> None:
            if work == "maintain":
                self.maintain(is_idle=True)
            else:
                getattr(self, work)()

        with interrupted(moment, interrupt, is_before=is_before):
            self.write_some(data)

    def write_some(self, data: st.DataObject) -> None:
        for name in data.draw(st.lists(names, min_size=1, max_size=2)):
            writes: list[st.SearchStrategy[Operation]] = [
                self.upserts(name),
                self.changes(name),
                st.builds(DeleteRecords, st.just(name), st.lists(ids, max_size=6)),
                st.builds(
                    SetMetadata,
                    st.just(name),
                    st.lists(ids, max_size=6, unique=True),
                    metadata().map(encode_metadata),
                ),
                st.builds(DeleteNamespace, st.just(name), st.booleans()),
            ]
            self.write(data.draw(st.one_of(writes)))
            self.counts_and_records_agree()

    @invariant()
    def only_what_is_needed_is_on_disk(self) -> None:
        found = self.storage.list_directory("indexes/1/segments")
        assert found == sorted(files_of(self.index._state.store.manifest))


@pytest.mark.parametrize("machine", [EngineMachine, MaintainedMachine])
def test_the_engine_answers_as_a_dict_would(machine: type[EngineMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40))


@contextmanager
def interrupted(place: str, interrupt: Work, *, is_before: bool) -> Iterator[None]:
    """Let something happen once before or after a function of the engine is called."""
    module, _, name = f"pinyon.engine.{place}".rpartition(".")
    function = getattr(import_module(module), name)
    waiting = [interrupt]

    def called(*args: Any, **options: Any) -> Any:
        if name == "_batches":  # A generator: something happens between two batches.
            return itertools.chain.from_iterable(between(batch) for batch in function(*args, **options))
        if is_before and waiting:
            waiting.pop()()
        result = function(*args, **options)
        if waiting:
            waiting.pop()()
        return result

    def between(some: Sequence[object]) -> Iterator[Sequence[object]]:
        yield some
        if waiting:
            waiting.pop()()

    with mock.patch(f"{module}.{name}", called):
        yield


def forget_the_view(block: Block, row_count: int, lsn: int) -> Mask:
    alive_now: Mask = block.dead_lsn.data[:row_count] == NEVER
    return alive_now


def forget_dead_rows(memtable: Memtable, rows: list[int], lsn: int) -> None:
    """Replaced rows stay alive."""


def give_back_without_moving(memtable: Memtable, number: int, block: Block, lsn: int) -> None:
    if block.row_count == memtable._block_rows and 2 * block.dead_count > block.row_count:
        del memtable.blocks[number]


def forget_the_dead_in_runs(block: Block, rows: Int64s, lsn: int) -> Mask | None:
    """Hits of runs are taken as they are."""
    return None


def forget_the_tail(view: MemtableView) -> tuple[()]:
    return ()


def forget_a_row_of_the_tail(view: MemtableView, block: BlockView, start: int, end: int) -> tuple[Int64s, SparseColumn]:
    return _living_rows(view, block, start, end - 1)


def forget_what_is_required(view: MemtableView, indices: UInt32s) -> Int64s:
    return np.arange(1000)


def hand_down_nothing(part: NewPart, lsn: int) -> None:
    """What died meanwhile is alive again."""


def forget_what_moved(older: OlderVersions, parts: Sequence[Part]) -> bool:
    """Segments are looked into once, not those that came meanwhile."""
    for part in parts:
        older.rows.setdefault(part.live, np.zeros(0, np.int64))
    return True


def forget_the_dead_of_segments(live: LiveSegment, lsn: int) -> None:
    """They are alive again after a restart."""


@pytest.mark.parametrize(
    ("place", "defect"),
    [
        ("block.Block.alive", forget_the_view),
        ("memtable.Memtable._mark_dead", forget_dead_rows),
        ("memtable.Memtable._give_back", give_back_without_moving),
        ("block.Block.alive_at", forget_the_dead_in_runs),
        ("view.MemtableView.tail", forget_the_tail),
        ("run_keeper._living_rows", forget_a_row_of_the_tail),
        ("memtable_search.rows_with_all", forget_what_is_required),
        ("publish.NewPart.hand_down", hand_down_nothing),
        ("part.LiveSegment.dead_at", forget_the_dead_of_segments),
        ("older_versions.OlderVersions.covers", forget_what_moved),
    ],
    ids=[
        "views",
        "replaced rows",
        "moved rows",
        "dead rows of runs",
        "tails",
        "rows of runs",
        "required indices",
        "deaths that come during a flush or compaction",
        "dead rows on disk",
        "older versions that move during a write",
    ],
)
def test_a_defect_is_seen(place: str, defect: Callable[..., object]) -> None:
    machine = MaintainedMachine if place.startswith(("publish", "part", "older")) else EngineMachine
    # What is drawn depends on which modules are loaded, too; any of these is seen by one example in 150, on average.
    fixed = settings(derandomize=True, max_examples=3000, phases=[Phase.generate], print_blob=False)
    with mock.patch(f"pinyon.engine.{place}", defect), pytest.raises((AssertionError, KeyError, ExceptionGroup)):
        run_state_machine_as_test(machine, settings=settings(fixed, stateful_step_count=40))
