"""An index in plain Python: a dict of records, searched by looking at each. The oracle of the engine.

It takes the same operations as the engine, and shares nothing with how the engine keeps and searches records. Scores
are sums of products of Python floats. Where all of these are exact in float64, as they are for small multiples of a
power of two, the engine's scores must equal them to the last bit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    SetMetadata,
    UpsertRecords,
)
from pinyon.engine.search_plan import SearchPlan
from pinyon.filter.ast import Filter
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Match, Metadata, Record, RecordBatch, SparseVector
from pinyon.protobuf.struct import decode_metadata, encode_metadata
from pinyon.testing.filter_matcher import matches

Sparse: TypeAlias = Mapping[int, float]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """A record without its id. `dense` None: the index has no dense vectors, or a patch leaves it alone."""

    dense: tuple[float, ...] | None = None
    sparse: Sparse = field(default_factory=dict)
    metadata: Metadata = field(default_factory=dict)


@dataclass(slots=True)
class PlainNamespace:
    """Records by id."""

    records: dict[str, PlainRecord] = field(default_factory=dict)
    declared: bool = False


class EngineModel:
    """The namespaces of an index by name, as `pinyon.engine.namespaces` keeps them."""

    def __init__(self) -> None:
        self.by_name: dict[str, PlainNamespace] = {}

    def apply(self, operation: Operation) -> None:
        """Carry out one operation."""
        match operation:
            case UpsertRecords(name, records):
                self.by_name.setdefault(name, PlainNamespace()).records.update(plain_records(records))
            case PatchRecords(name, changes):
                self._patch(self.records(name), plain_records(changes))
            case SetMetadata(name, ids, metadata):
                change = PlainRecord(metadata=decode_metadata(metadata))
                self._patch(self.records(name), dict.fromkeys(ids, change))
            case DeleteRecords(name, ids):
                for id_ in ids:
                    self.records(name).pop(id_, None)
            case DeleteNamespace(name, keep_declared):
                found = self.by_name.pop(name, None)
                if found is not None and found.declared and keep_declared:
                    self.by_name[name] = PlainNamespace(declared=True)
            case CreateNamespace(name, _):
                self.by_name.setdefault(name, PlainNamespace()).declared = True

    def records(self, namespace: str) -> dict[str, PlainRecord]:
        """The records of a namespace, to be changed in place; an empty dict of nobody where there is none."""
        return self.by_name[namespace].records if namespace in self.by_name else {}

    def record_counts(self) -> dict[str, int]:
        """Records by namespace, of those that have records or were declared."""
        return {name: len(found.records) for name, found in self.by_name.items() if found.records or found.declared}

    def _patch(self, records: dict[str, PlainRecord], changes: Mapping[str, PlainRecord]) -> None:
        for id_, change in changes.items():
            if id_ in records:
                old = records[id_]
                records[id_] = PlainRecord(
                    dense=old.dense if change.dense is None else change.dense,
                    sparse=change.sparse or old.sparse,
                    metadata=old.metadata | change.metadata,
                )


def search(records: Mapping[str, PlainRecord], plan: SearchPlan) -> list[tuple[str, float]]:
    """Ids and scores of the best matches, best first, ties by id."""
    sign = 1 if plan.metric.higher_is_better else -1
    found = [
        (id_, _as_float32(score(record, plan)))
        for id_, record in records.items()
        if (plan.filter is None or matches(plan.filter, record.metadata)) and _is_candidate(record, plan)
    ]
    return sorted(found, key=lambda match: (-sign * match[1], match[0]))[: plan.top_k]


def score(record: PlainRecord, plan: SearchPlan) -> float:
    """Pinecone's number, in float64."""
    dense = 0.0 if plan.dense is None else _dense_score(record.dense or (), _floats(plan.dense), plan.metric)
    return dense + _sparse_score(record.sparse, plan.sparse)


def matching_ids(records: Mapping[str, PlainRecord], condition: Filter) -> list[str]:
    """Ids of the records that match, in order."""
    return sorted(id_ for id_, record in records.items() if matches(condition, record.metadata))


def listed_ids(records: Iterable[str], prefix: str, after: str | None, limit: int) -> list[str]:
    """One page of ids."""
    return sorted(id_ for id_ in records if id_.startswith(prefix) and (after is None or id_ > after))[:limit]


def batch(records: Mapping[str, PlainRecord]) -> RecordBatch:
    """Plain records as the engine takes them."""
    dense = [record.dense for record in records.values() if record.dense is not None]
    assert len(dense) in (0, len(records))
    return RecordBatch(
        ids=list(records),
        dense=np.array(dense, np.float32) if dense else None,
        sparse=sparse_column([sparse_vector(record.sparse) for record in records.values()]),
        metadata=bytes_column([encode_metadata(record.metadata) for record in records.values()]),
    )


def sparse_vector(sparse: Sparse) -> SparseVector | None:
    """A sparse vector, None for nothing."""
    if not sparse:
        return None
    return SparseVector(np.array(list(sparse), np.uint32), np.array(list(sparse.values()), np.float32))


def plain_records(records: RecordBatch) -> dict[str, PlainRecord]:
    """The records of a batch by id."""
    return {
        id_: PlainRecord(
            None if records.dense is None else _floats(records.dense[row]),
            {} if records.sparse is None else _plain_sparse(records.sparse[row]),
            {} if records.metadata is None else decode_metadata(records.metadata[row]),
        )
        for row, id_ in enumerate(records.ids)
    }


def plain_record(record: Record | Match) -> PlainRecord:
    """A stored record, or what a match shows of it."""
    dense = None if record.dense is None else _floats(record.dense)
    return PlainRecord(dense, _plain_sparse(record.sparse), decode_metadata(record.metadata))


def shown(record: PlainRecord, plan: SearchPlan) -> PlainRecord:
    """What a match of a query shows of a record."""
    if not plan.include_values:
        record = replace(record, dense=None, sparse={})
    return record if plan.include_metadata else replace(record, metadata={})


def sparse_frequencies(records: Mapping[str, PlainRecord], indices: Iterable[int]) -> tuple[int, list[int]]:
    """The number of records, and of those that have each index."""
    return len(records), [sum(index in record.sparse for record in records.values()) for index in indices]


def _is_candidate(record: PlainRecord, plan: SearchPlan) -> bool:
    required = () if plan.required_indices is None else plan.required_indices.tolist()
    if any(index not in record.sparse for index in required):
        return False
    if plan.dense is not None:
        return True
    return plan.sparse is not None and any(index in record.sparse for index in plan.sparse.indices.tolist())


def _dense_score(row: tuple[float, ...], query: tuple[float, ...], metric: Metric) -> float:
    if metric is Metric.EUCLIDEAN:
        return math.fsum((a - b) ** 2 for a, b in zip(row, query, strict=True))
    dot = math.fsum(a * b for a, b in zip(row, query, strict=True))
    if metric is Metric.DOTPRODUCT:
        return dot
    scale = math.sqrt(math.fsum(a * a for a in row) * math.fsum(a * a for a in query))
    return dot / scale if scale else 0.0


def _sparse_score(row: Sparse, query: SparseVector | None) -> float:
    if query is None:
        return 0.0
    pairs = zip(query.indices.tolist(), query.values.tolist(), strict=True)
    return math.fsum(row.get(index, 0.0) * value for index, value in pairs)


def _as_float32(number: float) -> float:
    return float(np.float32(min(max(number, -_FLOAT32_MAX), _FLOAT32_MAX)))


def _plain_sparse(vector: SparseVector | None) -> dict[int, float]:
    return {} if vector is None else dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def _floats(vector: Float32s) -> tuple[float, ...]:
    return tuple(vector.tolist())
