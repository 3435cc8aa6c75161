"""An HTTP request with its whole body, and a response: what REST handlers see of HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from pinyon.errors import InvalidArgumentError
from pinyon.model.recall import parse_recall
from pinyon.protobuf.wire_format import Buffer
from pinyon.wire.api_version import ApiVersion

Headers: TypeAlias = dict[str, str]
"""Names in lower case, as HTTP/2 has them; of several values of one name the last, but see `join_recalls`."""

REQUEST_LSN: Final = "x-pinecone-request-lsn"
"""On a write: its own LSN."""
INDEXED_LSN: Final = "x-pinecone-max-indexed-lsn"
"""On a read: the newest LSN that it saw. A client's own write is in a read where this is at least the write's LSN."""

TARGET_RECALL: Final = "x-pinyon-target-recall"
"""On a query or a search: the share of the true nearest records to find on average; gRPC has it as metadata."""

_SHOWN_LENGTH_MAX: Final = 40


def join_recalls(headers: Headers, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Show all values of a recall that was given more than once, as HTTP joins them: `target_recall` refuses that."""
    name = TARGET_RECALL.encode()
    recalls = [value.decode("latin-1") for each, value in pairs if each == name]
    if recalls:
        headers[TARGET_RECALL] = ", ".join(recalls)


def target_recall(headers: Headers) -> float | None:
    """What a query asks to find; None where it leaves that to the index.

    Raises:
        InvalidArgumentError: it is not a number above 0 and at most 1, or it is given more than once.
    """
    text = headers.get(TARGET_RECALL)
    if text is None:
        return None
    recall = parse_recall(text)
    if recall is None:
        raise InvalidArgumentError(
            f"{TARGET_RECALL} must be a number above 0 and at most 1, and is {text[:_SHOWN_LENGTH_MAX]!r}"
        )
    return recall


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        raw_path: percent-encoded as the client sent it, without the query.
        must_be_brief: whether other requests wait for the answer; see `RestHandler.handle`.
    """

    method: str
    raw_path: str
    query_string: str = ""
    headers: Headers = field(default_factory=dict)
    body: Buffer = b""
    must_be_brief: bool = False

    @cached_property
    def api_version(self) -> ApiVersion:
        """The API version that the client asked for."""
        return ApiVersion.parse(self.headers.get("x-pinecone-api-version"))

    @cached_property
    def segments(self) -> list[str]:
        """The path's parts, split before they are decoded, so that `%2F` stays inside its part."""
        return [unquote(part) for part in self.raw_path.strip("/").split("/")]

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Query parameters; a repeated one has several values."""
        values: dict[str, list[str]] = {}
        for key, value in parse_qsl(self.query_string, keep_blank_values=True):
            values.setdefault(key, []).append(value)
        return values


@dataclass(frozen=True)
class Response:
    """One response; `content_type` is sent only with a body."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    content_type: str = "application/json"
