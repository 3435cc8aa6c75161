"""Results of the data plane as JSON: camelCase, but for namespaces, which are in snake_case as in the specification.

Fields that are zero or empty are sent: strict clients miss them. Vectors and scores have the digits of a float32.
Where namespaces are listed and described, the default one has one name, in every version; elsewhere the client's
version says how it is shown.
"""

from typing import Any

import numpy as np
import orjson

from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Match, Record, SparseVector
from pinyon.protobuf.struct import json_object
from pinyon.service.requests import Fetched, IdPage, IndexStats, Matches, NamespacePage, Written
from pinyon.service.validation import DEFAULT_NAMESPACE
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.http import INDEXED_LSN, REQUEST_LSN, Headers, Response


def matches(result: Matches, version: ApiVersion) -> Response:
    """The answer to a query."""
    body = {
        "results": [],
        "matches": [_match(match) for match in result.matches],
        "namespace": _shown(result.namespace, version),
        "usage": {"readUnits": result.read_units},
    }
    return _json(body, {INDEXED_LSN: str(result.lsn)})


def fetched(result: Fetched, version: ApiVersion) -> Response:
    """The answer to a fetch, by ids or by a filter."""
    body: dict[str, Any] = {
        "vectors": {record.id: _record(record) for record in result.records},
        "namespace": _shown(result.namespace, version),
        "usage": {"readUnits": result.read_units},
    }
    return _json(body | _pagination(result.next_token), {INDEXED_LSN: str(result.lsn)})


def id_page(page: IdPage, version: ApiVersion) -> Response:
    """One page of ids."""
    body: dict[str, Any] = {
        "vectors": [{"id": id_} for id_ in page.ids],
        "namespace": _shown(page.namespace, version),
        "usage": {"readUnits": page.read_units},
    }
    return _json(body | _pagination(page.next_token))


def stats(result: IndexStats, version: ApiVersion) -> Response:
    """The answer to a question for statistics."""
    counts = {_shown(name, version): {"vectorCount": count} for name, count in result.record_counts.items()}
    body: dict[str, Any] = {
        "namespaces": counts,
        "indexFullness": 0,
        "totalVectorCount": sum(result.record_counts.values()),
        "metric": result.metric,
        "vectorType": result.vector_type,
    }
    return _json(body if result.dimension is None else body | {"dimension": result.dimension})


def namespace(described: NamespaceDescription, version: ApiVersion) -> Response:
    """One namespace."""
    return _json(_namespace(described, version))


def namespace_page(page: NamespacePage, version: ApiVersion) -> Response:
    """One page of namespaces."""
    shown = [_namespace(described, version) for described in page.namespaces]
    return _json({"namespaces": shown, "total_count": page.total_count} | _pagination(page.next_token))


def written(result: Written, body: dict[str, Any]) -> Response:
    """The answer to a write, with its LSN."""
    return _json(body, {REQUEST_LSN: str(result.lsn)})


def _shown(name: str, version: ApiVersion) -> str:
    """A namespace's name as the client's version shows it."""
    return version.default_namespace if name in ("", DEFAULT_NAMESPACE) else name


def _match(match: Match) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": match.id, "score": np.float32(match.score)}
    return shown | _content(match)


def _record(record: Record) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": record.id}
    return shown | _content(record)


def _content(found: Match | Record) -> dict[str, Any]:
    content: dict[str, Any] = {"values": [] if found.dense is None else found.dense}
    if found.sparse is not None:
        content["sparseValues"] = _sparse(found.sparse)
    if found.metadata:
        content["metadata"] = json_object(found.metadata)
    return content


def _sparse(vector: SparseVector) -> dict[str, Any]:
    return {"indices": vector.indices, "values": vector.values}


def _namespace(described: NamespaceDescription, version: ApiVersion) -> dict[str, Any]:
    """One namespace; its 64-bit numbers are strings, as protobuf's JSON has them."""
    shown: dict[str, Any] = {"name": described.name, "record_count": str(described.record_count)}
    if described.filterable_fields is not None:
        shown["schema"] = {"fields": {field: {"filterable": True} for field in described.filterable_fields}}
        shown["indexed_fields"] = {"fields": list(described.filterable_fields)}
    if version.at_least(ApiVersion.V2026_07):
        shown["size_bytes"] = str(described.size_bytes)
    return shown


def _pagination(next_token: str | None) -> dict[str, Any]:
    return {} if next_token is None else {"pagination": {"next": next_token}}


def _json(body: dict[str, Any], headers: Headers | None = None) -> Response:
    return Response(200, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), headers or {})
