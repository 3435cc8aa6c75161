"""REST of the Records API: text in, records found. Errors have the shape of the control plane's.

Handlers raise `pinyon.errors`; whoever calls `handle` turns those into statuses and bodies.
"""

from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import orjson

from pinyon.errors import NotFoundError
from pinyon.service.record_requests import Hit, Hits, UpsertRecords
from pinyon.service.records import Records
from pinyon.wire.error_bodies import method_not_allowed
from pinyon.wire.http import INDEXED_LSN, REQUEST_LSN, Request, Response, target_recall
from pinyon.wire.rest.record_bodies import parse_records, parse_search

_PREFIX: Final = "/records/namespaces/"


class RecordsRoutes:
    """The paths below `/records/` of one index. Any thread may call `handle`."""

    def __init__(self, records: Records) -> None:
        """Serve the records of one index."""
        self._records = records
        self._handlers = {"upsert": self._upsert, "search": self._search}

    def handle(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            PinyonError: the request failed; its class says how.
        """
        # Some clients leave a `/` inside a namespace as it is: everything between the prefix and the verb is the name.
        name, slash, verb = request.raw_path.removeprefix(_PREFIX).rpartition("/")
        if not request.raw_path.startswith(_PREFIX) or not slash or verb not in self._handlers:
            raise NotFoundError(f"Path {request.raw_path} not found")
        if request.method != "POST":
            return method_not_allowed(request, ["POST"])
        return self._handlers[verb](request, unquote(name))

    def _upsert(self, request: Request, namespace: str) -> Response:
        written = self._records.upsert(UpsertRecords(namespace, parse_records(request.body)))
        return Response(201, headers={REQUEST_LSN: str(written.lsn)})

    def _search(self, request: Request, namespace: str) -> Response:
        search = parse_search(request.body, namespace)
        return _hits(self._records.search(replace(search, target_recall=target_recall(request.headers))))


def _hits(result: Hits) -> Response:
    usage = {
        "read_units": result.read_units,
        "embed_total_tokens": result.embed_token_count,
        "rerank_units": result.rerank_units,
    }
    body = {
        "result": {"hits": [_hit(hit) for hit in result.hits]},
        "usage": {name: count for name, count in usage.items() if count is not None},
    }
    return Response(200, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), {INDEXED_LSN: str(result.lsn)})


def _hit(hit: Hit) -> dict[str, Any]:
    return {"_id": hit.id, "_score": np.float32(hit.score), "fields": hit.fields}
