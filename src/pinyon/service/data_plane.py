"""The data plane of one index: each method checks a request, asks the engine, and says what happened.

Synchronous; called from many threads. A method that raises has changed nothing.
"""

import math
from collections.abc import Sequence

import numpy as np

from pinyon import limits
from pinyon.engine import operations
from pinyon.engine.index import Index
from pinyon.engine.operations import Operation
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.errors import AlreadyExistsError, InvalidArgumentError, NotBriefError, NotFoundError
from pinyon.filter.ast import Filter
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.index import IndexDefinition
from pinyon.model.metric import Metric
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Lsn, RecordBatch, SparseVector, UInt32s
from pinyon.protobuf.struct import encode_metadata
from pinyon.service import validation
from pinyon.service.index_rules import check_filterable_fields
from pinyon.service.pagination import entry_before, token_after
from pinyon.service.requests import (
    CreateNamespace,
    Delete,
    DescribeStats,
    Fetch,
    FetchByMetadata,
    Fetched,
    FilterExpression,
    IdPage,
    IndexStats,
    ListIds,
    ListNamespaces,
    Matches,
    NamespacePage,
    Query,
    Update,
    Upsert,
    Written,
)
from pinyon.service.validation import DEFAULT_NAMESPACE, namespace_name

_SMALL_INDEX_BYTES = 512 * 1024

_BRIEF_US = 4000.0
"""A search of less is brief. To hand it to another thread costs up to as much again (docs/decisions/0004)."""

_BRIEF_FILTER_VALUES = 16
"""A filter with more values takes long to be read and planned."""

_UPDATE_MATCHES_MAX = 100_000
"""Records that one update by filter may change [Pinecone's docs]."""


class DataPlane:
    """The data plane of one index."""

    def __init__(self, index: Index, *, upsert_bytes_max: int = limits.UPSERT_BYTES_MAX) -> None:
        """Serve `index`; an upsert may have `upsert_bytes_max` bytes of vectors and metadata."""
        self._index = index
        self._upsert_bytes_max = upsert_bytes_max

    @property
    def definition(self) -> IndexDefinition:
        """The index's definition."""
        return self._index.definition

    @property
    def is_small(self) -> bool:
        """True while all that a read may look at is so little that the read takes a few milliseconds at the very most.

        A search of such an index for its ten nearest records takes a tenth of a millisecond; to return everything, as
        JSON, some four.
        """
        return self._index.size_bytes <= _SMALL_INDEX_BYTES

    def upsert(self, request: Upsert) -> Written:
        """Write whole records. `count` is the number sent."""
        namespace = namespace_name(request.namespace)
        records = validation.check_upsert(request.records, self.definition, self._upsert_bytes_max)
        self._check_namespace_count(namespace)
        return Written(self.write(namespace, records), len(request.records))

    def check_room(self, namespace: str, count: int, metadata_bytes: int) -> None:
        """Refuse now what `upsert` would refuse of so many records, whatever their vectors will be."""
        self._check_namespace_count(namespace)
        validation.check_request_size(
            count * 4 * (self.definition.dimension or 0) + metadata_bytes, self._upsert_bytes_max
        )

    def write(self, namespace: str, records: RecordBatch) -> Lsn:
        """Write whole records that were checked, to a namespace by its one name."""
        return self._index.write(operations.UpsertRecords(namespace, records))

    def query(self, request: Query) -> Matches:
        """Find the nearest records; none where the namespace or the id does not exist.

        Raises:
            NotBriefError: it must be brief, and would not be.
        """
        if request.must_be_brief and not self._may_be_brief(request):
            raise NotBriefError
        namespace = namespace_name(request.namespace)
        validation.check_top_k(request.top_k)
        validation.check_query_vectors(request.id, request.dense, request.sparse, self.definition)
        condition = self._parse(request.filter, namespace)
        dense, sparse = request.dense, request.sparse
        ids = [] if request.id is None else [request.id]
        view, records = self._index.read(namespace, ids, must_be_brief=request.must_be_brief)
        if request.id is not None:
            if not records:
                return Matches(view.lsn, request.namespace, [])
            dense = records[0].dense
            sparse = records[0].sparse if self.definition.metric is Metric.DOTPRODUCT else None
        sparse = self._complete_sparse(request, view, sparse)
        if dense is None and (sparse is None or not len(sparse.indices)):
            return Matches(view.lsn, request.namespace, [])
        plan = SearchPlan(
            metric=self.definition.metric,
            top_k=request.top_k,
            dense=dense,
            sparse=sparse,
            filter=condition,
            include_values=request.include_values,
            include_metadata=request.include_metadata,
            required_indices=request.required_indices,
            target_recall=self._index.target_recall if request.target_recall is None else request.target_recall,
        )
        return Matches(
            view.lsn, request.namespace, self._index.search(view, plan, cost_max_us=self._cost_max_us(request))
        )

    def _may_be_brief(self, request: Query) -> bool:
        """False for queries of which what is read before the search may already take long."""
        is_by_dense = request.id is None and request.sparse is None
        return (is_by_dense or self.is_small) and _has_few_values(request.filter)

    def _cost_max_us(self, request: Query) -> float | None:
        if not request.must_be_brief:
            return None
        return math.inf if self.is_small else _BRIEF_US

    def fetch(self, request: Fetch) -> Fetched:
        """Read records by id."""
        if not request.ids:
            raise InvalidArgumentError("Fetch request must contain at least one ID")
        validation.check_ids(request.ids)
        view, records = self._index.read(namespace_name(request.namespace), list(dict.fromkeys(request.ids)))
        return Fetched(view.lsn, request.namespace, records)

    def fetch_by_metadata(self, request: FetchByMetadata) -> Fetched:
        """Read records that a filter selects, ordered by id."""
        namespace = namespace_name(request.namespace)
        condition = self._parse(request.filter, namespace)
        if condition is None:
            raise InvalidArgumentError("Empty filter provided for fetch by metadata request")
        limit = validation.page_size(
            request.limit, limits.FETCH_BY_METADATA_PAGE_DEFAULT, limits.FETCH_BY_METADATA_PAGE_MAX
        )
        after = entry_before(request.pagination_token)
        lsn, records = self._index.matching_records(namespace, condition, after, limit + 1)
        token = token_after(records[limit - 1].id) if len(records) > limit else None
        return Fetched(lsn, request.namespace, records[:limit], token)

    def update(self, request: Update) -> Written:
        """Change parts of a record, or metadata of all records that a filter selects. `count` only with a filter."""
        namespace = namespace_name(request.namespace)
        metadata = None if request.set_metadata is None else encode_metadata(request.set_metadata)
        if metadata is not None:
            validation.check_metadata_size(metadata)
        if request.filter is not None:
            return self._update_matching(namespace, request, metadata)
        if not request.id:
            raise InvalidArgumentError("Either 'id' or 'filter' must be provided")
        validation.check_record_id(request.id)
        changes = self._changes(request, request.id, metadata)
        view, records = self._index.read(namespace, [request.id])
        if not records:
            return Written(view.lsn)
        if metadata is not None:
            validation.check_merged_metadata_size(records[0].metadata, metadata)
        return Written(self._index.write(operations.PatchRecords(namespace, changes)))

    def delete(self, request: Delete) -> Written:
        """Delete by ids, by filter, or everything; with a filter, `ids` are not looked at."""
        namespace = namespace_name(request.namespace)
        if request.delete_all:
            if request.ids:
                raise InvalidArgumentError("No explicit IDs allowed when delete_all=true")
            if request.filter:
                raise InvalidArgumentError("No filter allowed when delete_all=true")
            self._check_exists(namespace)
            return Written(self._index.write(operations.DeleteNamespace(namespace, keep_declared=True)))
        if request.filter is not None:
            condition = self._parse(request.filter, namespace)
            if condition is None:
                raise InvalidArgumentError("Delete with empty metadata filter is not allowed")
            self._check_exists(namespace)
            return Written(self._index.write_matching(namespace, condition, lambda ids: _deletion(namespace, ids)))
        if not request.ids:
            raise InvalidArgumentError("Delete request must contain ids, a filter or delete_all=true")
        validation.check_ids(request.ids)
        self._check_exists(namespace)
        return Written(self._index.write(operations.DeleteRecords(namespace, request.ids)))

    def list_ids(self, request: ListIds) -> IdPage:
        """List ids in byte order."""
        limit = validation.page_size(request.limit, limits.LIST_PAGE_MAX, limits.LIST_PAGE_MAX)
        namespace, after = namespace_name(request.namespace), entry_before(request.pagination_token)
        lsn, ids = self._index.list_ids(namespace, request.prefix, after, limit + 1)
        token = token_after(ids[limit - 1]) if len(ids) > limit else None
        return IdPage(lsn, request.namespace, ids[:limit], token)

    def describe_stats(self, request: DescribeStats) -> IndexStats:
        """Count records by namespace."""
        if request.filter:
            raise InvalidArgumentError(
                "Serverless and Starter indexes do not support describing index stats with metadata filtering"
            )
        lsn, record_counts = self._index.record_counts()
        return IndexStats(
            lsn=lsn,
            record_counts=record_counts,
            dimension=self.definition.dimension,
            metric=self.definition.metric,
            vector_type=self.definition.vector_type,
        )

    def list_namespaces(self, request: ListNamespaces) -> NamespacePage:
        """List namespaces by name."""
        limit = validation.page_size(request.limit, limits.LIST_PAGE_MAX, limits.LIST_PAGE_MAX)
        after = entry_before(request.pagination_token)
        names, total_count = self._index.list_namespaces(request.prefix, after, limit + 1)
        token = token_after(names[limit - 1]) if len(names) > limit else None
        described = map(self._index.describe_namespace, names[:limit])
        return NamespacePage([item for item in described if item is not None], total_count, token)

    def describe_namespace(self, name: str) -> NamespaceDescription:
        """Describe one namespace; the default one always exists."""
        name = namespace_name(name)
        found = self._index.describe_namespace(name)
        if found is not None:
            return found
        if name != DEFAULT_NAMESPACE:
            raise NotFoundError("Namespace not found")
        return NamespaceDescription(name, 0, 0, None)

    def create_namespace(self, request: CreateNamespace) -> NamespaceDescription:
        """Create an empty namespace."""
        if not request.name or request.name == DEFAULT_NAMESPACE:
            raise InvalidArgumentError(f"Cannot create the namespace {DEFAULT_NAMESPACE}: it always exists")
        name = namespace_name(request.name)
        check_filterable_fields(request.filterable_fields)
        self._check_namespace_count(name)

        def create_if_new() -> Operation:
            if self._index.describe_namespace(name) is not None:
                raise AlreadyExistsError(f"Namespace {name} already exists")
            return operations.CreateNamespace(name, request.filterable_fields)

        self._index.write_resolved(create_if_new)
        return self.describe_namespace(name)

    def delete_namespace(self, name: str) -> Written:
        """Delete a namespace with all its records."""
        name = namespace_name(name)
        self._check_exists(name)
        return Written(self._index.write(operations.DeleteNamespace(name)))

    def _complete_sparse(self, request: Query, view: View, sparse: SparseVector | None) -> SparseVector | None:
        """The sparse part of a query with its weights, and with all indices that a match must have."""
        if request.weigh is not None and sparse is not None and len(sparse.indices):
            sparse = request.weigh(sparse, *self._index.sparse_frequencies(view, sparse.indices))
        if request.required_indices is not None:
            sparse = _with_indices(sparse, request.required_indices)
        return sparse

    def _update_matching(self, namespace: str, request: Update, metadata: bytes | None) -> Written:
        condition = self._parse(request.filter, namespace)
        if condition is None:
            raise InvalidArgumentError("Update with empty metadata filter is not allowed")
        if request.dense is not None or request.sparse is not None:
            raise InvalidArgumentError("Update by metadata request does not support updating vector values.")
        count = 0

        def make(ids: list[str]) -> Operation | None:
            nonlocal count
            count = len(ids)
            if count > _UPDATE_MATCHES_MAX:
                raise InvalidArgumentError(
                    f"Update by metadata matches {count} records, which exceeds the limit of {_UPDATE_MATCHES_MAX}"
                )
            if not ids or request.dry_run or not metadata:
                return None
            for start in range(0, count, limits.IDS_PER_REQUEST_MAX):  # Other reads wait while ids are looked up.
                for record in self._index.read(namespace, ids[start : start + limits.IDS_PER_REQUEST_MAX])[1]:
                    validation.check_merged_metadata_size(record.metadata, metadata)
            return operations.SetMetadata(namespace, ids, metadata)

        lsn = self._index.write_matching(namespace, condition, make)
        return Written(lsn, count)

    def _changes(self, request: Update, id_: str, metadata: bytes | None) -> RecordBatch:
        if request.dense is not None:
            validation.check_dimension(request.dense, self.definition)
            validation.check_dense(request.dense[np.newaxis])
        if request.sparse is not None:
            validation.check_sparse_vector(request.sparse)
        return RecordBatch(
            ids=[id_],
            dense=None if request.dense is None else request.dense[np.newaxis],
            sparse=None if request.sparse is None else sparse_column([request.sparse]),
            metadata=bytes_column([metadata or b""]),
        )

    def _parse(self, expression: FilterExpression | None, namespace: str) -> Filter | None:
        if not expression:
            return None
        return parse(expression, filterable_fields=self._filterable_fields(namespace))

    def _filterable_fields(self, namespace: str) -> Sequence[str] | None:
        own = self._index.filterable_fields(namespace)
        return self.definition.filterable_fields if own is None else own

    def _check_exists(self, namespace: str) -> None:
        if namespace != DEFAULT_NAMESPACE and not self._index.has_namespace(namespace):
            raise NotFoundError("Namespace not found")

    def _check_namespace_count(self, namespace: str) -> None:
        if not self._index.is_listed(namespace) and self._index.namespace_count >= limits.NAMESPACES_PER_INDEX_MAX:
            raise InvalidArgumentError(
                f"Cannot create more than {limits.NAMESPACES_PER_INDEX_MAX} namespaces in one index"
            )


def _has_few_values(expression: object, most: int = _BRIEF_FILTER_VALUES) -> bool:
    """True if a filter, as it came, has no more values and operators than a few; looks at no more of it than that."""
    waiting = [expression]
    for _ in range(4 * most):
        if not waiting:
            return True
        each = waiting.pop()
        if isinstance(each, dict | list):
            if len(each) > most:
                return False
            waiting += each.values() if isinstance(each, dict) else each
    return not waiting


def _deletion(namespace: str, ids: list[str]) -> Operation | None:
    return operations.DeleteRecords(namespace, ids) if ids else None


def _with_indices(vector: SparseVector | None, indices: UInt32s) -> SparseVector:
    """A sparse query with weight 0 at indices that it lacks, so that whatever has these is a match."""
    if vector is None:
        return SparseVector(indices, np.zeros(len(indices), np.float32))
    added = np.setdiff1d(indices, vector.indices)
    values = np.concatenate([vector.values, np.zeros(len(added), np.float32)])
    return SparseVector(np.concatenate([vector.indices, added]), values)
