"""Clients of servers that take JSON over HTTP: connections that stay open, and bodies that were encoded before."""

import http.client
import json
import threading
from typing import Any

TIMEOUT_S = 600.0
"""One batch of a peer took 40 s."""

_CLOSED = (ConnectionResetError, BrokenPipeError)
"""What a request meets on a connection that the server closed while it was idle: a reset before the answer, of which
`http.client.RemoteDisconnected` is one, or a pipe that broke while the body was sent."""


class Connection:
    """One connection to a server on loopback. Used by one thread."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request and receive the whole answer.

        Raises:
            RuntimeError: the status is not 2xx.
            OSError: there is no connection.
        """
        try:
            try:
                response = self._exchange(method, path, body)
            except _CLOSED:
                self._connection.close()
                response = self._exchange(method, path, body)
            content = response.read()
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()  # The next request opens it again.
            raise OSError(str(error)) from error
        if not 200 <= response.status < 300:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:500]!r}")
        return content

    def _exchange(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        self._connection.request(method, path, body, self._headers)
        return self._connection.getresponse()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The same in JSON."""
        content = self.send(method, path, None if body is None else json.dumps(body).encode())
        return json.loads(content) if content else None

    def close(self) -> None:
        self._connection.close()


class Connections(threading.local):
    """A connection for each thread that asks for one."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.mine = Connection(port, headers)
