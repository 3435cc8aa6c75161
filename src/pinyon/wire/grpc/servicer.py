"""The methods of `VectorService`: decode, ask the service, encode."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from pinyon.errors import UnimplementedError
from pinyon.model.record import Lsn
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.data_plane import DataPlane
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.grpc import requests as decode
from pinyon.wire.grpc import responses as encode
from pinyon.wire.grpc.framing import frame, unframe
from pinyon.wire.grpc.reply import GrpcReply
from pinyon.wire.grpc.responses import Parts
from pinyon.wire.grpc.upsert import decode_upsert
from pinyon.wire.http import INDEXED_LSN, REQUEST_LSN, Headers, target_recall

_SERVICE: Final = "/VectorService/"
_QUERY: Final = "Query"
_READS: Final = frozenset({"Fetch", "DescribeIndexStats"})
_GRPC_ACCEPT: Final = {"grpc-accept-encoding": "identity, gzip"}


class _Caller(NamedTuple):
    """What comes with a message: how its version shows the default namespace, its metadata, and its haste."""

    default_namespace: str
    headers: Headers
    must_be_brief: bool


_Method: TypeAlias = Callable[[Buffer, _Caller], tuple[Parts, Headers]]
"""From a message to a message and initial metadata."""


class GrpcRoutes:
    """The data plane of one index as gRPC methods. Any thread may call `call`."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Serve one index."""
        self._data_plane = data_plane
        self._methods: dict[str, _Method] = {
            "Upsert": self._upsert,
            "Query": self._query,
            "Fetch": self._fetch,
            "FetchByMetadata": self._fetch_by_metadata,
            "Update": self._update,
            "Delete": self._delete,
            "List": self._list,
            "DescribeIndexStats": self._stats,
            "ListNamespaces": self._list_namespaces,
            "CreateNamespace": self._create_namespace,
            "DescribeNamespace": self._describe_namespace,
            "DeleteNamespace": self._delete_namespace,
        }

    def call(self, path: str, body: Buffer, headers: Headers, *, must_be_brief: bool = False) -> GrpcReply:
        """Answer one unary call.

        Raises:
            NotBriefError: it must be brief, and would not be.
            PinyonError: the call failed; its class says how.
        """
        method = self._methods.get(path.removeprefix(_SERVICE)) if path.startswith(_SERVICE) else None
        if method is None:
            raise UnimplementedError(f"Method {path} is not supported")
        message = unframe(body, headers.get("grpc-encoding", "identity"))
        version = ApiVersion.parse(headers.get("x-pinecone-api-version"))
        parts, metadata = method(message, _Caller(version.default_namespace, headers, must_be_brief))
        return GrpcReply(frame(parts), _GRPC_ACCEPT | metadata)

    def is_brief(self, path: str) -> bool:
        """True for reads of a small index, which take less than a change of threads, and for queries, which may."""
        method = path.removeprefix(_SERVICE)
        return method == _QUERY or (method in _READS and self._data_plane.is_small)

    def _upsert(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        request = decode_upsert(message, dimension=self._data_plane.definition.dimension)
        written = self._data_plane.upsert(request)
        return encode.encode_upsert(written), _written(written.lsn)

    def _query(self, message: Buffer, caller: _Caller) -> tuple[Parts, Headers]:
        query = decode.QUERY.decode(message)
        query = replace(query, target_recall=target_recall(caller.headers), must_be_brief=caller.must_be_brief)
        matches = self._data_plane.query(query)
        return encode.encode_matches(matches, caller.default_namespace), _read(matches.lsn)

    def _fetch(self, message: Buffer, caller: _Caller) -> tuple[Parts, Headers]:
        fetched = self._data_plane.fetch(decode.FETCH.decode(message))
        return encode.encode_fetched(fetched, caller.default_namespace), _read(fetched.lsn)

    def _fetch_by_metadata(self, message: Buffer, caller: _Caller) -> tuple[Parts, Headers]:
        fetched = self._data_plane.fetch_by_metadata(decode.FETCH_BY_METADATA.decode(message))
        return encode.encode_fetched(fetched, caller.default_namespace), _read(fetched.lsn)

    def _update(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        written = self._data_plane.update(decode.UPDATE.decode(message))
        return encode.encode_update(written), _written(written.lsn)

    def _delete(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        written = self._data_plane.delete(decode.DELETE.decode(message))
        return encode.encode_empty(), _written(written.lsn)

    def _list(self, message: Buffer, caller: _Caller) -> tuple[Parts, Headers]:
        page = self._data_plane.list_ids(decode.LIST.decode(message))
        return encode.encode_id_page(page, caller.default_namespace), {}

    def _stats(self, message: Buffer, caller: _Caller) -> tuple[Parts, Headers]:
        stats = self._data_plane.describe_stats(decode.DESCRIBE_INDEX_STATS.decode(message))
        return encode.encode_stats(stats, caller.default_namespace), {}

    def _list_namespaces(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        page = self._data_plane.list_namespaces(decode.LIST_NAMESPACES.decode(message))
        return encode.encode_namespace_page(page), {}

    def _create_namespace(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        created = self._data_plane.create_namespace(decode.CREATE_NAMESPACE.decode(message))
        return encode.encode_namespace(created), {}

    def _describe_namespace(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        described = self._data_plane.describe_namespace(decode.NAMESPACE_NAME.decode(message))
        return encode.encode_namespace(described), {}

    def _delete_namespace(self, message: Buffer, _: _Caller) -> tuple[Parts, Headers]:
        written = self._data_plane.delete_namespace(decode.NAMESPACE_NAME.decode(message))
        return encode.encode_empty(), _written(written.lsn)


def _written(lsn: Lsn) -> Headers:
    return {REQUEST_LSN: str(lsn)}


def _read(lsn: Lsn) -> Headers:
    return {INDEXED_LSN: str(lsn)}
