"""An index: one log, many namespaces. The engine's face to the service.

What must hold:

- a write returns when it is durable and visible; its LSN is then at most `lsn`;
- a read sees one LSN: all writes up to it, in all its records, and nothing newer;
- LSNs only grow, also over restarts.

Thread rule: every method may be called from many threads. A lock guards the namespaces; it is held while a write is
applied, while a view is taken and while new runs or segments are published, never while a disk is waited for, a search
runs or something is built.
"""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from typing import Final

from pinyon.engine.background import RunLater
from pinyon.engine.block_encoder import BlockEncoder
from pinyon.engine.graph_memory import GraphMemory
from pinyon.engine.index_state import IndexState
from pinyon.engine.maintenance import Maintenance
from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions
from pinyon.engine.matching import matching_page, matching_places
from pinyon.engine.namespace import ids_in_part, places_in_memory, places_in_parts
from pinyon.engine.namespaces import Namespaces
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, Operation, decode
from pinyon.engine.places import Place, ids_of, record_at
from pinyon.engine.report import IndexReport, report_index
from pinyon.engine.run_keeper import RunKeeper
from pinyon.engine.runs import RUN_OPTIONS, RunOptions
from pinyon.engine.search import frequencies, search
from pinyon.engine.search_cost import search_cost_us
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_store import SegmentStore
from pinyon.engine.view import View
from pinyon.engine.write_queue import Resolver, WriteQueue
from pinyon.errors import DataLossError, NotBriefError
from pinyon.filter.ast import Filter
from pinyon.log.file_log import FileLog
from pinyon.model.index import IndexDefinition
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Lsn, Match, Record, UInt32s
from pinyon.storage.machine import processor_count

_filtered: Final = threading.BoundedSemaphore(processor_count())
"""Searches with filters are many short native calls. More of them at once than there are processors would take the
interpreter's lock from one another at each: with eight clients a third more CPU a query on two processors."""

_BRIEF_WAIT_S: Final = 0.001
"""How long a brief read waits for the lock: to apply a group of writes mostly takes less."""


class Index:
    """One open index.

    Attributes:
        definition: what the index is; replaced when it is changed.
        maintenance: flushes it, and all else that no request waits for.
    """

    def __init__(
        self,
        definition: IndexDefinition,
        log: FileLog,
        store: SegmentStore,
        *,
        run_later: RunLater | None = None,
        flush_later: RunLater | None = None,
        work_later: RunLater | None = None,
        run_options: RunOptions = RUN_OPTIONS,
        maintenance_options: MaintenanceOptions = MAINTENANCE_OPTIONS,
        graph_memory: GraphMemory | None = None,
    ) -> None:
        """Take what the segments hold, replay what `log` has beyond them, and open the index for reads and writes.

        Args:
            definition: what the index is.
            log: its log.
            store: its segments.
            run_later: builds runs of sparse values and codes of dense vectors; without it, every query looks at all
                that are in memory.
            flush_later: flushes; without it, only what is asked for is flushed.
            work_later: does what takes long; see `pinyon.engine.maintenance`.
            run_options: when runs of sparse values are built.
            maintenance_options: when an index is flushed, and what follows.
            graph_memory: bounds what open graphs take; shared with other indexes, or this one has all of it.

        Raises:
            DataLossError: the log is damaged.
        """
        self.definition = definition
        namespaces = Namespaces(definition.dimension)
        namespaces.restore(store.manifest, store.segments.values())
        self._state = state = IndexState(lambda: self.definition, log, store, namespaces, store.manifest.lsn)
        for lsn, operation in _replayed(log):
            namespaces.apply(operation, lsn)
            state.lsn = lsn
        log.forget_recovered()
        self._run_keeper = RunKeeper(
            state.lock, lambda memtable: memtable.view(state.lsn), run_later=run_later, options=run_options
        )
        self._run_keeper.start(
            self._run_keeper.due(
                memtable for namespace in namespaces.by_name.values() for memtable in namespace.memtables
            )
        )
        self.maintenance = Maintenance(
            state,
            flush_later=flush_later,
            work_later=work_later,
            options=maintenance_options,
            graph_memory=graph_memory,
        )
        self._block_encoder = BlockEncoder(definition.metric, definition.dimension, run_later)
        self._writes = WriteQueue(log, self._apply)
        state.while_no_write = self._writes.while_no_write
        state.refuse_writes = self._writes.refuse

    @property
    def lsn(self) -> Lsn:
        """The newest LSN that reads see."""
        return self._state.lsn

    @property
    def size_bytes(self) -> int:
        """Bytes of all namespaces, dead rows too: what a read may have to look at, and the most that it can return."""
        return self._state.namespaces.memory_bytes + self._state.frozen_bytes + self._state.store.size_bytes

    def write(self, operation: Operation) -> Lsn:
        """Make an operation durable and visible; see `WriteQueue.write`."""
        if not isinstance(operation, DeleteRecords | DeleteNamespace):  # These take no room.
            self.maintenance.wait_for_room()
        return self._writes.write(operation)

    def write_resolved(self, resolver: Resolver) -> Lsn:
        """Write what `resolver` decides when all earlier writes are visible; see `WriteQueue.write_resolved`."""
        self.maintenance.wait_for_room()
        return self._writes.write_resolved(resolver)

    def write_matching(self, namespace: str, condition: Filter, make: Callable[[list[str]], Operation | None]) -> Lsn:
        """Write the operation that `make` gives for the ids that match, with no other write in between.

        `make` gets the ids and may return None, or raise, to write nothing.
        """

        def resolve() -> Operation | None:
            view, _ = self.read(namespace)
            return make(ids_of(matching_places(view, condition)))

        return self.write_resolved(resolve)

    def read(
        self, namespace: str, ids: Sequence[str] = (), *, must_be_brief: bool = False
    ) -> tuple[View, list[Record]]:
        """A view of a namespace, and the records of `ids` in it; those that do not exist are left out.

        Raises:
            NotBriefError: it must be brief, and something holds the lock that is not.
        """
        if not self._state.lock.acquire(timeout=_BRIEF_WAIT_S if must_be_brief else -1):
            raise NotBriefError
        try:
            found = self._state.namespaces.by_name.get(namespace)
            if found is None:
                return View(self._state.lsn), []
            places: dict[str, Place] = places_in_memory(found.memtables, ids) if ids else {}
            view = found.view(self._state.lsn)
            due = self._run_keeper.due(found.memtables)
        finally:
            self._state.lock.release()
        self._run_keeper.start(due)
        if ids and view.parts:
            places |= places_in_parts(view.parts, [id_ for id_ in ids if id_ not in places], view.lsn)
        return view, [record_at(places[id_]) for id_ in ids if id_ in places]

    def search(self, view: View, plan: SearchPlan, *, cost_max_us: float | None = None) -> list[Match]:
        """The best matches of a view, best first.

        With `cost_max_us`, what costs more is not begun, and no lock is waited for; but where many search a graph
        at once, for one of them to be done.

        Raises:
            NotBriefError: it would cost more, as far as can be told.
        """
        watch = self.maintenance.recall.watch
        asked = watch.raised(plan.target_recall)
        searched = plan if asked == plan.target_recall else replace(plan, target_recall=asked)
        if cost_max_us is not None and search_cost_us(view, searched) > cost_max_us:
            raise NotBriefError
        watch.offer(view, plan)
        self._block_encoder.want(view, plan)
        with nullcontext() if plan.filter is None or cost_max_us is not None else _filtered:
            return search(view, searched)

    @property
    def target_recall(self) -> float:
        """The share of the true nearest rows that queries find on average, where they do not ask for another."""
        return self.maintenance.recall.target_recall

    def sparse_frequencies(self, view: View, indices: UInt32s) -> tuple[int, list[int]]:
        """How many records a view has, and how many of them have each of `indices` in their sparse vector."""
        return view.record_count, frequencies(view, indices)

    def matching_records(
        self, namespace: str, condition: Filter, after: str | None, limit: int
    ) -> tuple[Lsn, list[Record]]:
        """Up to `limit` records that match and come after the id `after`, ordered by id, and the LSN of the answer."""
        view, _ = self.read(namespace)
        return view.lsn, [record_at(place) for place in matching_page(view, condition, after, limit)]

    def list_ids(self, namespace: str, prefix: str, after: str | None, limit: int) -> tuple[Lsn, list[str]]:
        """Up to `limit` ids with `prefix` that come after `after`, in byte order."""
        with self._state.lock:
            found = self._state.namespaces.by_name.get(namespace)
            if found is None:
                return self._state.lsn, []
            in_memory = found.ids_in_memory(prefix, after, limit)
            lsn, parts = self._state.lsn, found.parts
        in_parts = (ids_in_part(part, prefix, after, lsn) for part in parts)
        return lsn, list(islice(heapq.merge(*in_memory, *in_parts), limit))

    def record_counts(self) -> tuple[Lsn, dict[str, int]]:
        """Records by namespace, of those that have records or were declared, and the LSN at which they are so many."""
        with self._state.lock:
            return self._state.lsn, self._state.namespaces.record_counts.copy()

    def list_namespaces(self, prefix: str, after: str | None, limit: int) -> tuple[list[str], int]:
        """Up to `limit` names with `prefix` that come after `after`, and how many have the prefix in all.

        Of namespaces that have records or were declared, by name.
        """
        with self._state.lock:
            names = self._state.namespaces.names()
        return names.page(prefix, after, limit)

    def describe_namespace(self, name: str) -> NamespaceDescription | None:
        """Numbers of one namespace; None if it has no records and was not declared."""
        with self._state.lock:
            found = self._state.namespaces.by_name.get(name)
            return found.describe() if found is not None and found.is_listed else None

    def has_namespace(self, name: str) -> bool:
        """True for a namespace that has records or was declared, and for one that lost its last record lately."""
        with self._state.lock:
            return self.is_listed(name) or name in self._state.namespaces.emptied

    def is_listed(self, name: str) -> bool:
        """True for a namespace that has records or was declared."""
        return name in self._state.namespaces.by_name

    def filterable_fields(self, name: str) -> tuple[str, ...] | None:
        """The metadata schema that a namespace was declared with; None for none."""
        found = self._state.namespaces.by_name.get(name)
        return None if found is None else found.filterable_fields

    @property
    def namespace_count(self) -> int:
        """Namespaces that have records or were declared."""
        return len(self._state.namespaces.by_name)

    def tick(self) -> None:
        """Begin the maintenance that is due; to be called every second or so."""
        self.maintenance.recall.watch.tick()
        self.maintenance.tick()

    def report(self) -> IndexReport:
        """What the index uses, and what is done for it."""
        return report_index(self._state, self.maintenance)

    def close(self) -> None:
        """Finish the writes under way and release the log. Later writes are refused."""
        self._writes.close()
        self._run_keeper.close()
        self._block_encoder.close()
        self.maintenance.close()
        self._state.log.close()

    def _apply(self, operations: list[tuple[Lsn, Operation]]) -> None:
        state = self._state
        for lsn, operation in operations:
            with state.namespaces.prepared(operation, state.lock) as prepared:
                state.namespaces.carry_out(prepared, lsn)
                state.lsn = lsn
        with state.lock:
            names = {operation.namespace for _, operation in operations}
            found = filter(None, map(state.namespaces.by_name.get, names))
            due = self._run_keeper.due(memtable for namespace in found for memtable in namespace.memtables)
        self._run_keeper.start(due)
        self.maintenance.after_write()


def _replayed(log: FileLog) -> Iterator[tuple[Lsn, Operation]]:
    """What a log has, decoded; where that cannot be, the error names the file."""
    for lsn, entry in log.replay():
        try:
            operation = decode(entry)
        except DataLossError as error:
            raise DataLossError(f"{log.path_of(lsn)}, entry {lsn}: {error.message}") from error
        yield lsn, operation
