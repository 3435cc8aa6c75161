"""Requests and results of the data plane, the same for REST and gRPC.

A codec of `pinyon.wire` builds a request from bytes and has then checked its shape; `pinyon.service.data_plane`
checks its content. Namespaces arrive as the caller wrote them; `""` and `"__default__"` are one namespace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pinyon.model.metric import Metric, VectorType
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Float32s, Lsn, Match, Metadata, Record, RecordBatch, SparseVector, UInt32s

FilterExpression: TypeAlias = dict[str, Any]
"""A filter as JSON gives it, not parsed yet."""

Weigh: TypeAlias = Callable[[SparseVector, int, Sequence[int]], SparseVector]
"""A sparse query with weights for a collection, from its record count and the frequency of each index."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Write whole records; a record with the same id is replaced."""

    namespace: str
    records: RecordBatch


@dataclass(frozen=True, slots=True)
class Query:
    """Find the nearest records of a vector, a sparse vector, both, or of a stored record.

    Attributes:
        namespace: as the caller wrote it.
        top_k: how many to find.
        dense: the vector; with `sparse` or alone.
        sparse: the sparse vector, likewise.
        id: of a stored record, whose vectors are taken.
        filter: None and `{}` both mean no filter.
        include_values: whether matches have their vectors.
        include_metadata: whether they have their metadata.
        required_indices: those that a match's sparse vector must have, all of them; None for no condition.
        weigh: gives `sparse` its weights, from the number of records in the namespace and how many of them have each
            of its indices; None leaves it as it is.
        target_recall: share of the true nearest records to find on average, above 0 and at most 1; None for what the
            index promises.
        must_be_brief: whether others wait for the answer; see `pinyon.errors.NotBriefError`.
    """

    namespace: str
    top_k: int
    dense: Float32s | None = None
    sparse: SparseVector | None = None
    id: str | None = None
    filter: FilterExpression | None = None
    include_values: bool = False
    include_metadata: bool = False
    required_indices: UInt32s | None = None
    weigh: Weigh | None = None
    target_recall: float | None = None
    must_be_brief: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read records by id; ids that do not exist are left out."""

    namespace: str
    ids: list[str]


@dataclass(frozen=True, slots=True)
class FetchByMetadata:
    """Read records that a filter selects, page by page. `limit` None means the default."""

    namespace: str
    filter: FilterExpression
    limit: int | None = None
    pagination_token: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Change parts of the record `id`, or metadata of the records that `filter` selects; the filter wins."""

    namespace: str
    id: str | None = None
    filter: FilterExpression | None = None
    dense: Float32s | None = None
    sparse: SparseVector | None = None
    set_metadata: Metadata | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete by ids, by filter, or everything in the namespace."""

    namespace: str
    ids: list[str] = field(default_factory=list)
    filter: FilterExpression | None = None
    delete_all: bool = False


@dataclass(frozen=True, slots=True)
class ListIds:
    """List ids in byte order, page by page. `limit` None means the default."""

    namespace: str
    prefix: str = ""
    limit: int | None = None
    pagination_token: str | None = None


@dataclass(frozen=True, slots=True)
class DescribeStats:
    """Count records."""

    filter: FilterExpression | None = None


@dataclass(frozen=True, slots=True)
class ListNamespaces:
    """List namespaces by name, page by page."""

    prefix: str = ""
    limit: int | None = None
    pagination_token: str | None = None


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Create an empty namespace. `filterable_fields` None inherits the index's."""

    name: str
    filterable_fields: tuple[str, ...] | None = None


# Results. `lsn` of a write is the request's own; of a read it is the newest that the read saw.


@dataclass(frozen=True, slots=True)
class Written:
    """A write is durable and visible. `count` is upserted or matched records; None where the API reports none."""

    lsn: Lsn
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """Results of a query, best first."""

    lsn: Lsn
    namespace: str
    matches: list[Match]
    read_units: int = 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records that were found. `next_token` None: there is no further page."""

    lsn: Lsn
    namespace: str
    records: list[Record]
    next_token: str | None = None
    read_units: int = 1


@dataclass(frozen=True, slots=True)
class IdPage:
    """One page of ids."""

    lsn: Lsn
    namespace: str
    ids: list[str]
    next_token: str | None = None
    read_units: int = 1


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Exact counts. `record_counts` maps namespace to records; the default namespace is `"__default__"`."""

    lsn: Lsn
    record_counts: dict[str, int]
    dimension: int | None
    metric: Metric
    vector_type: VectorType


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """One page of namespaces; `total_count` counts all that match the prefix."""

    namespaces: list[NamespaceDescription]
    total_count: int
    next_token: str | None = None
