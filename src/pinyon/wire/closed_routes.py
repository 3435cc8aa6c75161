"""The port of an index that could not be opened: whatever is asked, over REST or gRPC, the answer is why.

Clients are told to come again, since nothing of the request was applied and the index may be back after a restart.
"""

from typing import NoReturn

from pinyon.errors import UnavailableError
from pinyon.protobuf.wire_format import Buffer
from pinyon.wire.http import Headers, Request


class ClosedIndexError(UnavailableError):
    """What the start has logged already: a client that comes again and again must not fill the log."""


class ClosedRoutes:
    """`pinyon.wire.asgi.RestHandler` and `GrpcHandler` of such an index."""

    def __init__(self, why_closed: str) -> None:
        """Answer all requests with `why_closed`."""
        self._why_closed = why_closed

    def handle(self, request: Request) -> NoReturn:
        """Refuse a REST request.

        Raises:
            ClosedIndexError: always.
        """
        raise ClosedIndexError(self._why_closed)

    def call(self, path: str, body: Buffer, headers: Headers, *, must_be_brief: bool = False) -> NoReturn:
        """Refuse a gRPC call.

        Raises:
            ClosedIndexError: always.
        """
        raise ClosedIndexError(self._why_closed)

    def is_brief(self, *_: str) -> bool:
        """Always."""
        return True

    def takes_model(self, method: str, path: str) -> bool:
        """Never."""
        return False
