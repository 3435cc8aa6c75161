"""Results of the service as responses of `VectorService`.

Zeros, empty strings and empty lists are left out, except in fields declared `optional`: the client's decoder puts them
back. Field numbers are those of `specs/vector_service.proto`. `default_namespace` is how the caller's version of the
API shows the default namespace, but where namespaces are listed and described: there it has one name.
"""

from typing import TypeAlias

from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Float32s, Match, Record, SparseVector
from pinyon.protobuf.columns import encode_varints
from pinyon.protobuf.wire_format import (
    VARINT,
    encode_varint,
    tag,
    write_bytes,
    write_float,
    write_message,
    write_text,
    write_varint,
)
from pinyon.service.requests import (
    Fetched,
    IdPage,
    IndexStats,
    Matches,
    NamespacePage,
    Written,
)
from pinyon.service.validation import DEFAULT_NAMESPACE

Parts: TypeAlias = list[bytes]
"""An encoded message in parts, to be joined once: see `pinyon.wire.grpc.framing.frame`."""


def encode_upsert(result: Written) -> Parts:
    """Encode an UpsertResponse."""
    parts: Parts = []
    write_varint(parts, 1, result.count or 0)
    return parts


def encode_empty() -> Parts:
    """Encode the response of a deletion, which has no fields."""
    return []


def encode_update(result: Written) -> Parts:
    """Encode an UpdateResponse."""
    parts: Parts = []
    if result.count is not None:
        _write_optional(parts, 1, result.count)
    return parts


def encode_matches(result: Matches, default_namespace: str) -> Parts:
    """Encode a QueryResponse."""
    parts: Parts = []
    for match in result.matches:
        write_message(parts, 2, _match(match))
    write_text(parts, 3, _shown(result.namespace, default_namespace))
    _write_usage(parts, 4, result.read_units)
    return parts


def encode_fetched(result: Fetched, default_namespace: str) -> Parts:
    """Encode a FetchResponse or a FetchByMetadataResponse."""
    parts: Parts = []
    for record in result.records:
        _write_map_entry(parts, 1, record.id, _vector(record))
    write_text(parts, 2, _shown(result.namespace, default_namespace))
    _write_usage(parts, 3, result.read_units)
    _write_pagination(parts, 4, result.next_token)
    return parts


def encode_id_page(result: IdPage, default_namespace: str) -> Parts:
    """Encode a ListResponse."""
    parts: Parts = []
    for id_ in result.ids:
        write_message(parts, 1, _text_message(1, id_))
    _write_pagination(parts, 2, result.next_token)
    write_text(parts, 3, _shown(result.namespace, default_namespace))
    _write_usage(parts, 4, result.read_units)
    return parts


def encode_stats(result: IndexStats, default_namespace: str) -> Parts:
    """Encode a DescribeIndexStatsResponse. How full an index is has no meaning here: it stays zero."""
    parts: Parts = []
    for name, record_count in result.record_counts.items():
        summary: Parts = []
        write_varint(summary, 1, record_count)
        _write_map_entry(parts, 1, _shown(name, default_namespace), summary)
    if result.dimension is not None:
        _write_optional(parts, 2, result.dimension)
    write_varint(parts, 4, sum(result.record_counts.values()))
    _write_optional_text(parts, 5, result.metric)
    _write_optional_text(parts, 6, result.vector_type)
    return parts


def encode_namespace(result: NamespaceDescription) -> Parts:
    """Encode a NamespaceDescription."""
    parts: Parts = []
    write_text(parts, 1, result.name)
    write_varint(parts, 2, result.record_count)
    if result.filterable_fields is not None:
        _write_schema(parts, result.filterable_fields)
    write_varint(parts, 5, result.size_bytes)
    return parts


def encode_namespace_page(result: NamespacePage) -> Parts:
    """Encode a ListNamespacesResponse."""
    parts: Parts = []
    for namespace in result.namespaces:
        write_message(parts, 1, encode_namespace(namespace))
    _write_pagination(parts, 2, result.next_token)
    write_varint(parts, 3, result.total_count)
    return parts


def _shown(namespace: str, default_namespace: str) -> str:
    return default_namespace if namespace in ("", DEFAULT_NAMESPACE) else namespace


def _match(match: Match) -> Parts:
    parts: Parts = []
    write_text(parts, 1, match.id)
    write_float(parts, 2, match.score)
    _write_vector(parts, 3, match.dense, match.metadata, match.sparse)
    return parts


def _vector(record: Record) -> Parts:
    parts: Parts = []
    write_text(parts, 1, record.id)
    _write_vector(parts, 2, record.dense, record.metadata, record.sparse)
    return parts


def _write_vector(
    parts: Parts, number: int, dense: Float32s | None, metadata: bytes, sparse: SparseVector | None
) -> None:
    """Append values, metadata and sparse values, which have consecutive numbers in all messages."""
    if dense is not None:
        write_bytes(parts, number, dense.tobytes())
    if metadata:
        write_bytes(parts, number + 1, metadata)
    if sparse is not None:
        content: Parts = []
        write_bytes(content, 1, encode_varints(sparse.indices))
        write_bytes(content, 2, sparse.values.tobytes())
        write_message(parts, number + 2, content)


def _write_schema(parts: Parts, filterable_fields: tuple[str, ...]) -> None:
    """Append the schema, and the same names as `indexed_fields`."""
    schema: Parts = []
    indexed: Parts = []
    for name in filterable_fields:
        _write_map_entry(schema, 1, name, [tag(1, VARINT), b"\x01"])
        write_bytes(indexed, 1, name.encode())
    write_message(parts, 3, schema)
    write_message(parts, 4, indexed)


def _write_map_entry(parts: Parts, number: int, key: str, value: Parts) -> None:
    entry: Parts = []
    write_bytes(entry, 1, key.encode())
    write_message(entry, 2, value)
    write_message(parts, number, entry)


def _write_pagination(parts: Parts, number: int, next_token: str | None) -> None:
    """Append where the next page is; clients go on for as long as this field is there."""
    if next_token:
        write_message(parts, number, _text_message(1, next_token))


def _write_usage(parts: Parts, number: int, read_units: int) -> None:
    usage: Parts = []
    _write_optional(usage, 1, read_units)
    write_message(parts, number, usage)


def _text_message(number: int, value: str) -> Parts:
    parts: Parts = []
    write_text(parts, number, value)
    return parts


def _write_optional(parts: Parts, number: int, value: int) -> None:
    """Append an integer that is present even when zero."""
    parts += (tag(number, VARINT), encode_varint(value))


def _write_optional_text(parts: Parts, number: int, value: str) -> None:
    write_bytes(parts, number, value.encode())
