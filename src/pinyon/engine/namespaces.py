"""The namespaces of an index, and the applying of logged operations to them: after a write and when a log is replayed.

An operation in the log has been checked, so applying it cannot fail. It is deterministic: the same operations in the
same order give the same records, whenever they are applied.
"""

from dataclasses import replace

import numpy as np

from pinyon.engine.memtable import Memtable
from pinyon.engine.namespace import Namespace
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
)
from pinyon.model.batches import batch_of_records
from pinyon.model.metadata import merge_metadata
from pinyon.model.record import Lsn, Record, RecordBatch

_RECORDS_PER_PART = 1000


class Namespaces:
    """The namespaces of an index by name. They begin to exist with their first record, or when declared."""

    def __init__(self, dimension: int | None) -> None:
        """Start with none."""
        self._dimension = dimension
        self.by_name: dict[str, Namespace] = {}
        self.size_bytes = 0

    def apply(self, operation: Operation, lsn: Lsn) -> None:
        """Carry out one operation, under the index's lock."""
        before = self._size_bytes(operation.namespace)
        self._carry_out(operation, lsn)
        self.size_bytes += self._size_bytes(operation.namespace) - before

    def _size_bytes(self, name: str) -> int:
        namespace = self.by_name.get(name)
        return 0 if namespace is None else namespace.memtable.size_bytes

    def _carry_out(self, operation: Operation, lsn: Lsn) -> None:
        match operation:
            case UpsertRecords(name, records):
                self._existing_or_new(name).memtable.upsert(records, lsn)
            case PatchRecords(name, changes):
                self._patch(name, changes, lsn)
            case SetMetadata(name, ids, metadata):
                self._set_metadata(name, ids, metadata, lsn)
            case DeleteRecords(name, ids):
                if name in self.by_name:
                    self.by_name[name].memtable.delete(ids, lsn)
            case DeleteNamespace(name, keep_declared):
                self._delete(name, keep_declared)
            case CreateNamespace(name, filterable_fields):
                namespace = self._existing_or_new(name)
                namespace.declared, namespace.filterable_fields = True, filterable_fields

    def _existing_or_new(self, name: str) -> Namespace:
        namespace = self.by_name.get(name)
        if namespace is None:
            namespace = self.by_name[name] = Namespace(name, Memtable(self._dimension))
        return namespace

    def _patch(self, name: str, changes: RecordBatch, lsn: Lsn) -> None:
        namespace = self.by_name.get(name)
        if namespace is None:
            return
        patched = []
        for row, id_ in enumerate(changes.ids):
            place = namespace.memtable.locate(id_)
            if place is not None:
                block, at = place
                patched.append(_patched(block.record(at), changes, row))
        if patched:
            namespace.memtable.upsert(batch_of_records(patched), lsn)

    def _set_metadata(self, name: str, ids: list[str], metadata: bytes, lsn: Lsn) -> None:
        namespace = self.by_name.get(name)
        if namespace is None:
            return
        # In parts, so that a hundred thousand records are not held twice.
        for start in range(0, len(ids), _RECORDS_PER_PART):
            places = map(namespace.memtable.locate, ids[start : start + _RECORDS_PER_PART])
            found = [block.record(at) for block, at in filter(None, places)]
            changed = [replace(record, metadata=merge_metadata(record.metadata, metadata)) for record in found]
            if changed:
                namespace.memtable.upsert(batch_of_records(changed), lsn)

    def _delete(self, name: str, keep_declared: bool) -> None:
        namespace = self.by_name.pop(name, None)
        if namespace is not None and namespace.declared and keep_declared:
            self.by_name[name] = Namespace(name, Memtable(self._dimension), True, namespace.filterable_fields)


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
