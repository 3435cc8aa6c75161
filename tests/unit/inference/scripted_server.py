"""A small real HTTP server whose answers a test writes down, and which keeps what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Body = dict[str, Any]


@dataclass
class Reply:
    """An answer; a `body` that is not bytes is sent as JSON."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False
    """True closes the connection afterwards, without a word of it."""
    hangs_up: bool = False
    """True closes the connection instead of an answer."""


@dataclass
class Asked:
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: Body
    connection: int


class ScriptedServer:
    """Listens on loopback from `with` to its end; `answer` gets each body and says what is answered."""

    def __init__(self, answer: Callable[[Body], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.released = threading.Event()
        self._connections: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def bodies(self) -> list[Body]:
        return [asked.body for asked in self.asked]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening, end what is connected, and let go of whoever waits for `released`."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:
            with suppress(OSError):  # The client has closed it.
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                script._connections.append(self.connection)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                script.asked.append(Asked(self.path, dict(self.headers), body, self.client_address[1]))
                reply = script.answer(body)
                self.close_connection = reply.closes or reply.hangs_up
                if reply.hangs_up:
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response_only(reply.status)
                for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
