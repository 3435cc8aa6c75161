"""The namespaces of an index, and the applying of logged operations to them: after a write and when a log is replayed.

An operation in the log has been checked, so applying it cannot fail. It is deterministic: the same operations in the
same order give the same records, whenever they are applied.

A namespace ends with its last record, unless it was declared. Its name is remembered for a while: whoever deletes from
it once more, as after an answer that was lost, is not told that there never was such a namespace.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from pinyon.engine.block import Block
from pinyon.engine.memtable import Memtable, blocks_of
from pinyon.engine.namespace import Namespace, locate
from pinyon.engine.namespace_names import NamespaceNames
from pinyon.engine.older_versions import OlderVersions
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
    written_ids,
)
from pinyon.engine.part import LiveSegment, Part
from pinyon.engine.places import record_at
from pinyon.model.batches import batch_of_records
from pinyon.model.metadata import merge_metadata
from pinyon.model.record import Lsn, Record, RecordBatch
from pinyon.segment.manifest import Manifest, NamespaceEntry

_RECORDS_AT_ONCE: Final = 1000
_EMPTIED_MAX: Final = 10_000
"""So many names are remembered; each is in every manifest."""


class Prepared(NamedTuple):
    """An operation with all that takes a while to find: the whole records that it writes, and the older versions."""

    operation: Operation
    records: Sequence[RecordBatch | Block]
    older: OlderVersions


class Namespaces:
    """The namespaces of an index by name. They begin to exist with their first record, or when declared.

    Attributes:
        by_name: those that have records or were declared.
        emptied: names of those that ended with their last record, the latest last; a dict, for its order.
        record_counts: how many records each of them has, after each operation: to count them all takes long.
        memory_bytes: about what their memtables take, but for frozen ones.
    """

    def __init__(self, dimension: int | None) -> None:
        """Start with none."""
        self._dimension = dimension
        self.by_name: dict[str, Namespace] = {}
        self.emptied: dict[str, None] = {}
        self.record_counts: dict[str, int] = {}
        self.memory_bytes = 0
        self._names: NamespaceNames | None = None

    def apply(self, operation: Operation, lsn: Lsn) -> None:
        """Carry out one operation, while nobody else reads."""
        with self.prepared(operation, nullcontext()) as prepared:
            self.carry_out(prepared, lsn)

    @contextmanager
    def prepared(self, operation: Operation, lock: AbstractContextManager[object]) -> Iterator[Prepared]:
        """Prepare an operation, and hold the index's `lock` for it to be carried out; it is not held before.

        Called by the one who writes, so that nothing else is written meanwhile.
        """
        with lock:
            memtables, parts = self._places(operation.namespace)
        records = _records_of(operation, memtables, parts, self._dimension)
        older = OlderVersions(written_ids(operation), memtables)
        while True:
            older.find(memtables, parts)
            with lock:
                memtables, parts = self._places(operation.namespace)
                if older.covers(parts):
                    yield Prepared(operation, records, older)
                    return

    def carry_out(self, prepared: Prepared, lsn: Lsn) -> None:
        """Carry out an operation, within `prepared`."""
        name = prepared.operation.namespace
        before = self._memory_bytes(name)
        self._carry_out(prepared, lsn)
        self.memory_bytes += self._memory_bytes(name) - before
        self._count_records(name)

    def names(self) -> NamespaceNames:
        """The names of `record_counts`, under the index's lock; pages of them need none."""
        if self._names is None:
            self._names = NamespaceNames(self.record_counts)
        return self._names

    def existing_or_new(self, name: str) -> Namespace:
        """The namespace of that name, which begins to exist if it does not."""
        namespace = self.by_name.get(name)
        if namespace is None:
            namespace = self.by_name[name] = Namespace(name, self._dimension)
            self.emptied.pop(name, None)
        return namespace

    def freeze(self) -> list[Namespace]:
        """Freeze all memtables that have rows, and give their namespaces. None may be frozen already."""
        frozen = []
        for namespace in self.by_name.values():
            if namespace.memtable is not None:
                assert namespace.frozen is None
                namespace.memtable.freeze()
                namespace.frozen, namespace.memtable = namespace.memtable, None
                frozen.append(namespace)
        self.memory_bytes = 0
        return frozen

    def entries(self) -> tuple[NamespaceEntry, ...]:
        """What is known of namespaces beside their rows, now."""
        declared = (
            NamespaceEntry(namespace.name, namespace.declared, namespace.filterable_fields)
            for namespace in self.by_name.values()
            if namespace.declared
        )
        return (*declared, *map(NamespaceEntry, self.emptied))

    def restore(self, manifest: Manifest, segments: Iterable[LiveSegment]) -> None:
        """Begin with what segments hold. A namespace whose rows there are all dead is not in them."""
        for entry in manifest.namespaces:
            if entry.declared:
                namespace = self.existing_or_new(entry.name)
                namespace.declared, namespace.filterable_fields = True, entry.filterable_fields
                self.record_counts[entry.name] = 0
            else:
                self._remember(entry.name)
        for live in segments:
            for rows, alive_count in zip(live.segment.namespaces, live.alive_counts(), strict=True):
                if alive_count:
                    namespace = self.existing_or_new(rows.name)
                    namespace.parts += (Part(live, rows),)
                    namespace.stored_count += alive_count
                    self.record_counts[rows.name] = namespace.stored_count

    def _count_records(self, name: str) -> None:
        namespace = self.by_name.get(name)
        count_before = len(self.record_counts)
        if namespace is not None and namespace.is_listed:
            self.record_counts[name] = namespace.record_count
        else:
            self.record_counts.pop(name, None)
        if len(self.record_counts) != count_before:
            self._names = None

    def _memory_bytes(self, name: str) -> int:
        namespace = self.by_name.get(name)
        return 0 if namespace is None or namespace.memtable is None else namespace.memtable.memory_bytes

    def _places(self, name: str) -> tuple[tuple[Memtable, ...], tuple[Part, ...]]:
        namespace = self.by_name.get(name)
        return ((), ()) if namespace is None else (namespace.memtables, namespace.parts)

    def _carry_out(self, prepared: Prepared, lsn: Lsn) -> None:
        match prepared.operation:
            case UpsertRecords(name) | PatchRecords(name) | SetMetadata(name):
                if prepared.records:
                    self.existing_or_new(name).upsert(prepared.records, prepared.older, lsn)
            case DeleteRecords(name):
                if name in self.by_name:
                    self._delete_records(self.by_name[name], prepared.older, lsn)
            case DeleteNamespace(name, keep_declared):
                self._delete(name, keep_declared, lsn)
            case CreateNamespace(name, filterable_fields):
                namespace = self.existing_or_new(name)
                namespace.declared, namespace.filterable_fields = True, filterable_fields

    def _delete_records(self, namespace: Namespace, older: OlderVersions, lsn: Lsn) -> None:
        namespace.delete(older, lsn)
        if not namespace.is_listed:
            namespace.deleted_lsn = lsn
            del self.by_name[namespace.name]
            self._remember(namespace.name)

    def _remember(self, name: str) -> None:
        self.emptied[name] = None
        if len(self.emptied) > _EMPTIED_MAX:
            del self.emptied[next(iter(self.emptied))]

    def _delete(self, name: str, keep_declared: bool, lsn: Lsn) -> None:
        self.emptied.pop(name, None)
        namespace = self.by_name.pop(name, None)
        if namespace is None:
            return
        namespace.delete_all(lsn)
        if namespace.declared and keep_declared:
            kept = Namespace(name, self._dimension, declared=True, filterable_fields=namespace.filterable_fields)
            self.by_name[name] = kept


def _records_of(
    operation: Operation, memtables: Sequence[Memtable], parts: Sequence[Part], dimension: int | None
) -> Sequence[RecordBatch | Block]:
    """The whole records that an operation writes, where the memtables and parts hold what it changes.

    Many come in blocks, which a memtable takes as they are: no second copy, and none is made under the lock.
    """

    def records(ids: Sequence[str]) -> list[Record]:
        return [record_at(place) for place in locate(memtables, parts, ids)]

    match operation:
        case UpsertRecords(_, batch):
            return [batch]
        case PatchRecords(_, changes):
            patched = _patched_batch(records(changes.ids), changes)
            return [] if patched is None else [patched]
        case SetMetadata(_, ids, metadata):
            chunks = (ids[at : at + _RECORDS_AT_ONCE] for at in range(0, len(ids), _RECORDS_AT_ONCE))
            batches = (_with_metadata(records(chunk), metadata) for chunk in chunks)
            return blocks_of(filter(None, batches), dimension)
        case DeleteRecords() | DeleteNamespace() | CreateNamespace():
            return ()


def _patched_batch(found: Sequence[Record], changes: RecordBatch) -> RecordBatch | None:
    row_of = {id_: row for row, id_ in enumerate(changes.ids)}
    patched = [_patched(record, changes, row_of[record.id]) for record in found]
    return batch_of_records(patched) if patched else None


def _with_metadata(found: Sequence[Record], metadata: bytes) -> RecordBatch | None:
    changed = [replace(record, metadata=merge_metadata(record.metadata, metadata)) for record in found]
    return batch_of_records(changed) if changed else None


def _patched(record: Record, changes: RecordBatch, row: int) -> Record:
    """The record with what one row of `changes` replaces. An empty sparse row or metadata changes nothing."""
    sparse = record.sparse
    if changes.sparse is not None and len(changes.sparse[row].indices):
        sparse = changes.sparse[row]
    metadata = record.metadata
    if changes.metadata is not None:
        metadata = merge_metadata(record.metadata, changes.metadata[row])
    dense = record.dense if changes.dense is None else np.asarray(changes.dense[row])
    return Record(record.id, dense, sparse, metadata)
