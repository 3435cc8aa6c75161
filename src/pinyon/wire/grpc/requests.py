"""Requests of `VectorService` as objects of the service, one table each; UpsertRequest is in `pinyon.wire.grpc.upsert`.

Field numbers are those of `specs/vector_service.proto`. proto3 cannot tell an empty string or zero from a field that
was not sent, so those become the absent value that the service knows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.requests import (
    CreateNamespace,
    Delete,
    DescribeStats,
    Fetch,
    FetchByMetadata,
    ListIds,
    ListNamespaces,
    Query,
    Update,
)
from pinyon.wire.grpc import fields

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request message: what it is made of, and what it becomes."""

    build: Callable[..., T]
    schema: fields.Schema
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def decode(self, data: Buffer) -> T:
        """Decode the message.

        Raises:
            InvalidArgumentError: the bytes are not this message, or it has a field that is not supported.
        """
        return self.build(**{**self.defaults, **fields.read_message(data, self.schema)})


def _query(
    *, queries: object = None, scan_factor: object = None, max_candidates: object = None, **content: Any
) -> Query:
    if queries is not None:
        raise InvalidArgumentError("The field 'queries' is deprecated and not supported; send one query a request")
    for name, value in (("scanFactor", scan_factor), ("maxCandidates", max_candidates)):
        if value is not None:
            raise InvalidArgumentError(f"'{name}' is only supported for dedicated read capacity")
    return Query(**content)


def _filterable_fields(occurrences: fields.Occurrences) -> tuple[str, ...] | None:
    """The fields that a MetadataSchema makes filterable, None for none: that inherits the index's."""
    content = fields.read_message(fields.message(occurrences), {1: ("entries", fields.messages)})
    entries = [fields.read_message(entry, _SCHEMA_ENTRY) for entry in content.get("entries", ())]
    for entry in entries:
        if not entry.get("filterable"):
            name = entry.get("name", "")
            raise InvalidArgumentError(
                f"Field '{name}' is set to {{\"filterable\":false}}. Only filterable: true is supported."
            )
    return tuple(dict.fromkeys(entry.get("name", "") for entry in entries)) or None


def _is_filterable(occurrences: fields.Occurrences) -> bool:
    content = fields.read_message(fields.message(occurrences), {1: ("filterable", fields.flag)})
    return bool(content.get("filterable"))


_SCHEMA_ENTRY: Final[fields.Schema] = {1: ("name", fields.text), 2: ("filterable", _is_filterable)}

_IN_NAMESPACE: Final = {"namespace": ""}

QUERY: Final = Request(
    _query,
    {
        1: ("namespace", fields.text),
        2: ("top_k", fields.unsigned),
        3: ("filter", fields.any_struct),
        4: ("include_values", fields.flag),
        5: ("include_metadata", fields.flag),
        6: ("queries", fields.messages),
        7: ("dense", fields.floats_or_none),
        8: ("id", fields.text_or_none),
        9: ("sparse", fields.sparse_or_none),
        10: ("scan_factor", fields.number),
        11: ("max_candidates", fields.unsigned),
    },
    {"namespace": "", "top_k": 0},
)
FETCH: Final = Request(Fetch, {1: ("ids", fields.texts), 2: ("namespace", fields.text)}, {"namespace": "", "ids": []})
FETCH_BY_METADATA: Final = Request(
    FetchByMetadata,
    {
        1: ("namespace", fields.text),
        2: ("filter", fields.any_struct),
        3: ("limit", fields.unsigned),
        4: ("pagination_token", fields.text_or_none),
    },
    {"namespace": "", "filter": {}},
)
UPDATE: Final = Request(
    Update,
    {
        1: ("id", fields.text_or_none),
        2: ("dense", fields.floats_or_none),
        3: ("set_metadata", fields.metadata),
        4: ("namespace", fields.text),
        5: ("sparse", fields.sparse_or_none),
        6: ("filter", fields.any_struct),
        7: ("dry_run", fields.flag),
    },
    _IN_NAMESPACE,
)
DELETE: Final = Request(
    Delete,
    {
        1: ("ids", fields.texts),
        2: ("delete_all", fields.flag),
        3: ("namespace", fields.text),
        4: ("filter", fields.any_struct),
    },
    _IN_NAMESPACE,
)
LIST: Final = Request(
    ListIds,
    {
        1: ("prefix", fields.text),
        2: ("limit", fields.unsigned),
        3: ("pagination_token", fields.text_or_none),
        4: ("namespace", fields.text),
    },
    _IN_NAMESPACE,
)
DESCRIBE_INDEX_STATS: Final = Request(DescribeStats, {1: ("filter", fields.any_struct)})
LIST_NAMESPACES: Final = Request(
    ListNamespaces,
    {
        1: ("pagination_token", fields.text_or_none),
        2: ("limit", fields.unsigned),
        3: ("prefix", fields.text),
    },
)
CREATE_NAMESPACE: Final = Request(
    CreateNamespace,
    {1: ("name", fields.text), 2: ("filterable_fields", _filterable_fields)},
    {"name": ""},
)
NAMESPACE_NAME: Final[Request[str]] = Request(
    lambda namespace: namespace, {1: ("namespace", fields.text)}, _IN_NAMESPACE
)
"""DescribeNamespaceRequest and DeleteNamespaceRequest."""
