"""REST of the data plane: paths and methods to calls of the service, results to JSON.

Handlers raise `pinyon.errors`; whoever calls `handle` turns those into statuses and bodies.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import orjson

from pinyon.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from pinyon.service import requests
from pinyon.service.data_plane import DataPlane
from pinyon.service.records import Records
from pinyon.wire.http import Request, Response, target_recall
from pinyon.wire.rest import answers
from pinyon.wire.rest import vector_json as read
from pinyon.wire.rest.records import RecordsRoutes

_Handler: TypeAlias = Callable[[Request], Response]

_UPSERT: Final = read.field_names("vectors", "namespace")
_QUERY: Final = read.field_names(
    "namespace", "topK", "filter", "includeValues", "includeMetadata", "vector", "sparseVector", "id",
    "queries", "scanFactor", "maxCandidates",
)  # fmt: skip
_FETCH_BY_METADATA: Final = read.field_names("namespace", "filter", "limit", "paginationToken")
_UPDATE: Final = read.field_names("id", "values", "sparseValues", "setMetadata", "namespace", "filter", "dryRun")
_DELETE: Final = read.field_names("ids", "deleteAll", "namespace", "filter")
_STATS: Final = read.field_names("filter")
_CREATE_NAMESPACE: Final = read.field_names("name", "schema")
_SCHEMA: Final = read.field_names("fields")

_QUERY_ROUTE: Final = ("POST", "/query")
_READS: Final = frozenset({("GET", "/vectors/fetch"), ("POST", "/describe_index_stats")})


class DataPlaneRoutes:
    """The data plane of one index as an HTTP application. Any thread may call `handle`."""

    def __init__(self, data_plane: DataPlane, records: Records) -> None:
        """Serve one index: its vectors, and its records of text."""
        self._data_plane = data_plane
        self._records = RecordsRoutes(records)
        self._routes: dict[tuple[str, str], _Handler] = {
            ("POST", "/vectors/upsert"): self._upsert,
            ("POST", "/query"): self._query,
            ("GET", "/vectors/fetch"): self._fetch,
            ("POST", "/vectors/fetch_by_metadata"): self._fetch_by_metadata,
            ("POST", "/vectors/update"): self._update,
            ("POST", "/vectors/delete"): self._delete,
            ("DELETE", "/vectors/delete"): self._delete_by_parameters,
            ("GET", "/vectors/list"): self._list,
            ("POST", "/describe_index_stats"): self._stats,
            ("GET", "/describe_index_stats"): self._stats,
            ("GET", "/namespaces"): self._list_namespaces,
            ("POST", "/namespaces"): self._create_namespace,
        }

    def handle(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            PinyonError: the request failed; its class says how.
        """
        handler = self._routes.get((request.method, request.raw_path))
        if handler is not None:
            return handler(request)
        return self._handle_namespace_path(request)

    def is_brief(self, method: str, path: str) -> bool:
        """True for reads of a small index, which take less than a change of threads, and for queries, which may."""
        return (method, path) == _QUERY_ROUTE or ((method, path) in _READS and self._data_plane.is_small)

    def takes_model(self, method: str, path: str) -> bool:
        """True for the Records API: whether a search is by text is known only from its body."""
        return path.startswith("/records/")

    def _handle_namespace_path(self, request: Request) -> Response:
        """Paths that hold a namespace, or that belong to a part of Pinecone's API that is not there."""
        match request.segments:
            case ["records", *_]:
                return self._records.handle(request)
            case ["namespaces", _, *_, "documents", _] if request.method == "POST":
                raise UnimplementedError("The documents API is not supported yet")
            case ["bulk", "imports", *_]:
                raise UnimplementedError("Bulk imports are not supported yet")
            case ["namespace-aliases", *_]:
                raise UnimplementedError("Namespace aliases are not supported yet")
            case ["namespaces", _, *_] if request.method in ("GET", "DELETE"):
                # Some clients leave a `/` inside a namespace as it is: everything behind the prefix is the name.
                name = unquote(request.raw_path.removeprefix("/namespaces/"))
                return self._describe_namespace(request, name) if request.method == "GET" else self._drop(name)
            case ["namespaces", _, *_]:
                return _method_not_allowed(request)
            case _:
                pass
        if any(path == request.raw_path for _, path in self._routes):
            return _method_not_allowed(request)
        raise NotFoundError(f"Path {request.raw_path} not found")

    def _upsert(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _UPSERT)
        if "vectors" not in fields:
            raise InvalidArgumentError("Upsert request must contain at least one vector")
        records = read.read_records(request.body, fields["vectors"], self._data_plane.definition.dimension)
        written = self._data_plane.upsert(requests.Upsert(read.read_text(fields, "namespace"), records))
        return answers.written(written, {"upsertedCount": written.count})

    def _query(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _QUERY)
        _refuse_unsupported_query_fields(fields)
        dense, sparse = read.read_vectors(request.body, fields, "vector", "sparseVector")
        top_k = read.read_int(fields, "topK")
        if top_k is None:
            raise InvalidArgumentError("Query request must contain top_k")
        matches = self._data_plane.query(
            requests.Query(
                namespace=read.read_text(fields, "namespace"),
                top_k=top_k,
                dense=dense,
                sparse=sparse,
                id=read.read_text(fields, "id") or None,
                filter=read.read_dict(fields, "filter"),
                include_values=read.read_bool(fields, "includeValues"),
                include_metadata=read.read_bool(fields, "includeMetadata"),
                target_recall=target_recall(request.headers),
                must_be_brief=request.must_be_brief,
            )
        )
        return answers.matches(matches, request.api_version)

    def _fetch(self, request: Request) -> Response:
        fetch = requests.Fetch(_parameter(request, "namespace") or "", request.query.get("ids", []))
        return answers.fetched(self._data_plane.fetch(fetch), request.api_version)

    def _fetch_by_metadata(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _FETCH_BY_METADATA)
        fetched = self._data_plane.fetch_by_metadata(
            requests.FetchByMetadata(
                namespace=read.read_text(fields, "namespace"),
                filter=read.read_dict(fields, "filter") or {},
                limit=_checked_limit(read.read_int(fields, "limit")),
                pagination_token=read.read_text(fields, "paginationToken") or None,
            )
        )
        return answers.fetched(fetched, request.api_version)

    def _update(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _UPDATE)
        dense, sparse = read.read_vectors(request.body, fields, "values", "sparseValues")
        written = self._data_plane.update(
            requests.Update(
                namespace=read.read_text(fields, "namespace"),
                id=read.read_text(fields, "id") or None,
                filter=read.read_dict(fields, "filter"),
                dense=dense,
                sparse=sparse,
                set_metadata=read.read_metadata(fields["setMetadata"]) if "setMetadata" in fields else None,
                dry_run=read.read_bool(fields, "dryRun"),
            )
        )
        return answers.written(written, {} if written.count is None else {"matchedRecords": written.count})

    def _delete(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _DELETE)
        written = self._data_plane.delete(
            requests.Delete(
                namespace=read.read_text(fields, "namespace"),
                ids=read.read_texts(fields, "ids"),
                filter=read.read_dict(fields, "filter"),
                delete_all=read.read_bool(fields, "deleteAll"),
            )
        )
        return answers.written(written, {})

    def _delete_by_parameters(self, request: Request) -> Response:
        """The oldest clients' form: DELETE with everything in the query string."""
        everything = _parameter(request, "deleteAll") or _parameter(request, "delete_all") or "false"
        if everything.lower() not in ("true", "false"):
            raise InvalidArgumentError("Invalid value for 'deleteAll': expected a boolean")
        written = self._data_plane.delete(
            requests.Delete(
                namespace=_parameter(request, "namespace") or "",
                ids=request.query.get("ids", []),
                delete_all=everything.lower() == "true",
            )
        )
        return answers.written(written, {})

    def _list(self, request: Request) -> Response:
        page = self._data_plane.list_ids(
            requests.ListIds(
                namespace=_parameter(request, "namespace") or "",
                prefix=_parameter(request, "prefix") or "",
                limit=_integer_parameter(request, "limit"),
                pagination_token=_parameter(request, "paginationToken") or _parameter(request, "pagination_token"),
            )
        )
        return answers.id_page(page, request.api_version)

    def _stats(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _STATS) if request.body else {}
        stats = self._data_plane.describe_stats(requests.DescribeStats(read.read_dict(fields, "filter")))
        return answers.stats(stats, request.api_version)

    def _list_namespaces(self, request: Request) -> Response:
        page = self._data_plane.list_namespaces(
            requests.ListNamespaces(
                prefix=_parameter(request, "prefix") or "",
                limit=_integer_parameter(request, "limit"),
                pagination_token=_parameter(request, "paginationToken") or _parameter(request, "pagination_token"),
            )
        )
        return answers.namespace_page(page, request.api_version)

    def _create_namespace(self, request: Request) -> Response:
        fields = read.parse_object(request.body, _CREATE_NAMESPACE)
        schema = read.read_object(fields["schema"], _SCHEMA, "schema") if "schema" in fields else {}
        filterable = read.read_dict(schema, "fields")
        created = self._data_plane.create_namespace(
            requests.CreateNamespace(
                read.read_text(fields, "name"), _filterable_fields(filterable) if filterable else None
            )
        )
        return answers.namespace(created, request.api_version)

    def _describe_namespace(self, request: Request, name: str) -> Response:
        return answers.namespace(self._data_plane.describe_namespace(name), request.api_version)

    def _drop(self, name: str) -> Response:
        return answers.written(self._data_plane.delete_namespace(name), {})


def _refuse_unsupported_query_fields(fields: dict[str, Any]) -> None:
    if read.read_list(fields, "queries"):
        raise InvalidArgumentError("The field 'queries' is deprecated and not supported; send one query a request")
    for name in ("scanFactor", "maxCandidates"):
        if name in fields:
            raise InvalidArgumentError(f"'{name}' is only supported for dedicated read capacity")


def _filterable_fields(fields: dict[str, Any]) -> tuple[str, ...]:
    for name, options in fields.items():
        if options != {"filterable": True}:
            raise InvalidArgumentError(
                f"Field '{name}' is set to {orjson.dumps(options).decode()}. Only filterable: true is supported."
            )
    return tuple(fields)


def _parameter(request: Request, name: str) -> str | None:
    values = request.query.get(name)
    return values[-1] if values else None


def _integer_parameter(request: Request, name: str) -> int | None:
    value = _parameter(request, name)
    if value is None:
        return None
    return _checked_limit(read.read_int({name: value}, name))


def _checked_limit(limit: int | None) -> int | None:
    """A page's size as the service takes it. Over gRPC zero means that none was given; JSON can leave it out."""
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit must be a positive integer, but got {limit}")
    return limit


def _method_not_allowed(request: Request) -> Response:
    body = {"code": 12, "message": f"{request.method} is not allowed for {request.raw_path}", "details": []}
    return Response(405, orjson.dumps(body))
