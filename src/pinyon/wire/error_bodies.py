"""Errors of REST: two body shapes, by path, and plain text for a refused key."""

from collections.abc import Iterable

import orjson

from pinyon.errors import PinyonError, ResourceExhaustedError, UnauthenticatedError
from pinyon.wire.http import Request, Response
from pinyon.wire.status import status_of

_DATA_PLANE_FAMILIES = frozenset(
    {"vectors", "query", "describe_index_stats", "namespaces", "bulk", "namespace-aliases"}
)
"""First parts of paths whose errors are a `google.rpc.Status`; all others have the shape of the control plane."""


def error_response(error: PinyonError, request: Request) -> Response:
    """The answer to a request that failed."""
    status = status_of(error)
    if isinstance(error, UnauthenticatedError):
        return Response(status.http, error.message.encode(), content_type="text/plain")
    if _has_rpc_errors(request):
        body = orjson.dumps({"code": status.grpc, "message": error.message, "details": []})
    else:
        body = orjson.dumps({"status": status.http, "error": {"code": status.code, "message": error.message}})
    headers = {}
    if isinstance(error, ResourceExhaustedError):
        headers["retry-after"] = f"{error.retry_after_s:g}"
    return Response(status.http, body, headers)


def method_not_allowed(request: Request, allowed: Iterable[str]) -> Response:
    """The answer to a method that a path of the control plane's shape does not have."""
    methods = ", ".join(allowed)
    message = f"{request.method} is not allowed for {request.raw_path}, only {methods}"
    body = {"status": 405, "error": {"code": "UNIMPLEMENTED", "message": message}}
    return Response(405, orjson.dumps(body), {"allow": methods})


def _has_rpc_errors(request: Request) -> bool:
    segments = request.segments
    is_documents = (
        request.method == "POST" and segments[0] == "namespaces" and len(segments) > 2 and segments[-2] == "documents"
    )
    return segments[0] in _DATA_PLANE_FAMILIES and not is_documents
