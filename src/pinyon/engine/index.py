"""An index: one log, many namespaces. The engine's face to the service.

What must hold:

- a write returns when it is durable and visible; its LSN is then at most `lsn`;
- a read sees one LSN: all writes up to it, in all its records, and nothing newer;
- LSNs only grow, also over restarts.

Thread rule: every method may be called from many threads. `_lock` guards the namespaces; it is held while a write is
applied, while a view is taken and while new runs are published, never while a disk is waited for, a search runs or runs
are built.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from operator import itemgetter

from pinyon.engine.background import RunLater
from pinyon.engine.namespaces import Namespaces
from pinyon.engine.operations import Operation, decode
from pinyon.engine.run_keeper import RunKeeper
from pinyon.engine.runs import RUN_OPTIONS, RunOptions
from pinyon.engine.search import SearchPlan, matching_rows, search
from pinyon.engine.sparse_search import frequencies
from pinyon.engine.view import View
from pinyon.engine.write_queue import Resolver, WriteQueue
from pinyon.filter.ast import Filter
from pinyon.log.file_log import FileLog
from pinyon.model.index import IndexDefinition
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Lsn, Match, Record, UInt32s


class Index:
    """One open index."""

    def __init__(
        self,
        definition: IndexDefinition,
        log: FileLog,
        *,
        run_later: RunLater | None = None,
        run_options: RunOptions = RUN_OPTIONS,
    ) -> None:
        """Replay `log` and open the index for reads and writes.

        Args:
            definition: what the index is.
            log: its log.
            run_later: does what no request should wait for; without it, sparse values are scanned by every query.
            run_options: when runs of sparse values are built.

        Raises:
            DataLossError: the log is damaged.
        """
        self.definition = definition
        self._log = log
        self._lock = threading.Lock()
        self._namespaces = Namespaces(definition.dimension)
        self._lsn: Lsn = 0
        for lsn, entry in log.replay():
            self._namespaces.apply(decode(entry), lsn)
            self._lsn = lsn
        log.forget_recovered()
        self._run_keeper = RunKeeper(
            self._lock, lambda namespace: namespace.view(self._lsn), run_later=run_later, options=run_options
        )
        self._run_keeper.start(self._run_keeper.due(self._namespaces.by_name.values()))
        self._writes = WriteQueue(log, self._apply)

    @property
    def lsn(self) -> Lsn:
        """The newest LSN that reads see."""
        return self._lsn

    @property
    def size_bytes(self) -> int:
        """Bytes of all namespaces, dead rows too: what a read may have to look at, and the most that it can return."""
        return self._namespaces.size_bytes

    def write(self, operation: Operation) -> Lsn:
        """Make an operation durable and visible; see `WriteQueue.write`."""
        return self._writes.write(operation)

    def write_resolved(self, resolver: Resolver) -> Lsn:
        """Write what `resolver` decides when all earlier writes are visible; see `WriteQueue.write_resolved`."""
        return self._writes.write_resolved(resolver)

    def write_matching(self, namespace: str, condition: Filter, make: Callable[[list[str]], Operation | None]) -> Lsn:
        """Write the operation that `make` gives for the ids that match, with no other write in between.

        `make` gets the ids and may return None, or raise, to write nothing.
        """

        def resolve() -> Operation | None:
            view, _ = self.read(namespace)
            return make([block.ids[row] for block, row in matching_rows(view, condition)])

        return self._writes.write_resolved(resolve)

    def read(self, namespace: str, ids: Sequence[str] = ()) -> tuple[View, list[Record]]:
        """A view of a namespace, and the records of `ids` in it; those that do not exist are left out."""
        with self._lock:
            found = self._namespaces.by_name.get(namespace)
            if found is None:
                return View(self._lsn, ()), []
            places = [place for place in map(found.memtable.locate, ids) if place is not None]
            view = found.view(self._lsn)
            due = self._run_keeper.due([found])
        self._run_keeper.start(due)
        return view, [block.record(row) for block, row in places]

    def search(self, view: View, plan: SearchPlan) -> list[Match]:
        """The best matches of a view, best first."""
        return search(view, plan)

    def sparse_frequencies(self, view: View, indices: UInt32s) -> tuple[int, list[int]]:
        """How many records a view has, and how many of them have each of `indices` in their sparse vector."""
        return view.record_count, frequencies(view, indices)

    def matching_records(
        self, namespace: str, condition: Filter, after: str | None, limit: int
    ) -> tuple[Lsn, list[Record]]:
        """Up to `limit` records that match and come after the id `after`, ordered by id, and the LSN of the answer."""
        view, _ = self.read(namespace)
        rows = ((block.ids[row], block, row) for block, row in matching_rows(view, condition))
        rest = rows if after is None else (each for each in rows if each[0] > after)
        page = heapq.nsmallest(limit, rest, key=itemgetter(0))
        return view.lsn, [block.record(row) for _, block, row in page]

    def list_ids(self, namespace: str, prefix: str, after: str | None, limit: int) -> tuple[Lsn, list[str]]:
        """Up to `limit` ids with `prefix` that come after `after`, in byte order."""
        with self._lock:
            found = self._namespaces.by_name.get(namespace)
            if found is None:
                return self._lsn, []
            ids = found.memtable.ids_from(prefix, after)
            return self._lsn, [id_ for id_, _ in zip(ids, range(limit), strict=False)]

    def record_counts(self) -> tuple[Lsn, dict[str, int]]:
        """Records by namespace, of those that have records or were declared, and the LSN at which that is so."""
        with self._lock:
            shown = [item for item in self._namespaces.by_name.values() if item.is_listed]
            return self._lsn, {item.name: len(item.memtable) for item in shown}

    def describe_namespace(self, name: str) -> NamespaceDescription | None:
        """Numbers of one namespace; None if it has no records and was not declared."""
        with self._lock:
            found = self._namespaces.by_name.get(name)
            return found.describe() if found is not None and found.is_listed else None

    def has_namespace(self, name: str) -> bool:
        """True for a namespace that was declared or ever had a record, until it is deleted as a whole."""
        return name in self._namespaces.by_name

    def filterable_fields(self, name: str) -> tuple[str, ...] | None:
        """The metadata schema that a namespace was declared with; None for none."""
        found = self._namespaces.by_name.get(name)
        return None if found is None else found.filterable_fields

    @property
    def namespace_count(self) -> int:
        """Namespaces, empty ones too."""
        return len(self._namespaces.by_name)

    def close(self) -> None:
        """Finish the writes under way and release the log. Later writes are refused."""
        self._writes.close()
        self._run_keeper.close()
        self._log.close()

    def _apply(self, operations: list[tuple[Lsn, Operation]]) -> None:
        with self._lock:
            for lsn, operation in operations:
                self._namespaces.apply(operation, lsn)
                self._lsn = lsn
            names = {operation.namespace for _, operation in operations}
            due = self._run_keeper.due(filter(None, map(self._namespaces.by_name.get, names)))
        self._run_keeper.start(due)
