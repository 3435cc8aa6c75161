"""Ports: one h2corn server each, which carries REST over HTTP/1.1 and gRPC over HTTP/2 on the same port.

The only file that knows h2corn. Sockets are bound here and handed over, so that a port in use is an error of the caller
who asked for it and not of a task in the background.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h2corn
import h2corn._lib

from pinyon.errors import PermissionDeniedError, UnavailableError
from pinyon.wire.asgi import Application
from pinyon.wire.tls import TlsFiles

_BACKLOG = 1024
_HEADERS_BYTES_MAX = 2 * 1024 * 1024
"""A request line may hold a thousand ids of 512 characters, each three times as long when percent-encoded."""
_FRAME_BYTES_MAX = 1024 * 1024
"""A message of megabytes then takes some ten events of the loop instead of a hundred."""
_STREAMS_MAX = 1024
"""Concurrent calls of one gRPC connection: asynchronous clients send hundreds at once over one."""

_POLICY = h2corn.RequestPolicy(
    path="/*", max_request_body_size=0, timeout_request_body_idle=20.0, h2_timeout_response_stall=60.0
)
"""A client that stops in the middle of a body gives its place to others after twenty seconds."""

# h2corn announces every server on standard error; a server with a port per index would announce each of them.
if hasattr(h2corn._lib, "emit_banner"):
    h2corn._lib.emit_banner = lambda *_: None


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What all ports share. `host` is the address to bind; `tls` None: plain text."""

    host: str
    tls: TlsFiles | None
    stop_timeout_s: float


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for a port, one for each address of `host` (a name such as localhost has two).

    Raises:
        UnavailableError: the port is taken or may not be used.
    """
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with contextlib.suppress(_NoSuchAddressError):
                sockets.append(_listening_socket(family, address))
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise UnavailableError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    if not sockets:
        raise UnavailableError(f"cannot listen on {host}:{port}: this machine has no such address")
    return sockets


def bind_first_free(host: str, ports: Iterable[int]) -> tuple[int, list[socket.socket]]:
    """The first of `ports` that can be bound, and its sockets.

    Raises:
        PermissionDeniedError: none of them can. Not ResourceExhaustedError: waiting would not help, and clients would.
    """
    for port in ports:
        with contextlib.suppress(UnavailableError):
            return port, bind(host, port)
    raise PermissionDeniedError(
        "You've reached the max number of indexes: no port is left. Start Pinyon with a wider range of index ports."
    )


class Listener:
    """A port that serves an application until it is stopped. Used on the event loop only."""

    def __init__(self, application: Application, sockets: list[socket.socket], options: ListenOptions) -> None:
        """Serve `application` on `sockets`, which belong to the listener from now on."""
        self._sockets = sockets
        self._server = h2corn.Server(application, _config(sockets, options))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve; returns when connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve())
        await self._server.wait_started()

    async def stop(self) -> None:
        """Accept no more connections, wait for the requests in flight, and release the port."""
        self._server.shutdown()
        try:
            if self._serving is not None:
                await self._serving
        finally:
            for bound in self._sockets:
                bound.close()


class _NoSuchAddressError(Exception):
    """The machine has no IPv6, or no IPv4, or no interface with the address: `localhost` is often ::1 by name only."""


def _listening_socket(family: int, address: Any) -> socket.socket:
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchAddressError from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except BaseException as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
            raise _NoSuchAddressError from error
        raise
    return bound


def _config(sockets: list[socket.socket], options: ListenOptions) -> h2corn.Config:
    return h2corn.Config(
        bind=tuple(f"fd://{bound.fileno()}" for bound in sockets),
        certfile=None if options.tls is None else options.tls.certificate,
        keyfile=None if options.tls is None else options.tls.key,
        grpc=True,
        lifespan="off",
        access_log=False,
        server_header="off",
        max_request_body_size=0,  # `Admission` bounds bodies, and answers in Pinecone's way.
        max_concurrent_streams=_STREAMS_MAX,
        h2_max_inbound_frame_size=_FRAME_BYTES_MAX,
        limit_request_line=_HEADERS_BYTES_MAX,
        limit_request_head_size=_HEADERS_BYTES_MAX,
        h2_max_header_list_size=_HEADERS_BYTES_MAX,
        timeout_graceful_shutdown=options.stop_timeout_s,
        # gRPC has no limit of time of its own: without a policy a call may be half-sent for ever.
        request_policies=(_POLICY,),
    )
