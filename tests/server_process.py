"""A real `pinyon serve` in a process of its own, for tests that need sockets, signals or a disk that outlives it.

    with ServerProcess(tmp_path / "data") as server:
        urllib.request.urlopen(server.url + "/indexes", ...)
        server.kill()      # SIGKILL: nothing is flushed
        server.start()     # the same directory, the same ports

The server listens on loopback, on ports chosen when the object is made, and writes its log to `<data_dir>.log`.
"""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

REPOSITORY: Final = Path(__file__).resolve().parents[1]
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.02
DEFAULT_KEY: Final = "test-key"
"""Sent when the server asks for no key: it then takes any that is not empty, and so do the clients."""


class ServerProcessError(Exception):
    """The server did not start or stop as it should. The message carries the end of its log."""


class ServerProcess:
    """One server over one data directory. It may be stopped or killed and started again.

    Args:
        data_dir: the server's `--data-dir`.
        index_count: how many indexes can exist at once; each needs a port.
        tls: serve TLS from the local CA that the server makes.
        api_keys: the keys that it accepts; none means any.
        arguments: more arguments for `pinyon serve`.
        environment: variables beside the test's own.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        index_count: int = 20,
        tls: bool = False,
        api_keys: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self.port = free_ports(1 + index_count)
        self.index_ports = (self.port + 1, self.port + index_count)
        self.tls = tls
        self.api_key = api_keys[0] if api_keys else DEFAULT_KEY
        self._command = self._build_command(api_keys, arguments)
        self._environment = _environment() | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.is_running:
            self.stop()

    @property
    def url(self) -> str:
        """The control plane's address, with scheme."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that a client must trust when the server speaks TLS."""
        return self.data_dir / "tls" / "ca.pem"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True from `start` until the process has ended, for whatever reason."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that the server has written to its standard output and error, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, *, wait: bool = True) -> None:
        """Start the server; with `wait`, return once `GET /indexes` is answered.

        Raises:
            ServerProcessError: the process ended, or did not answer in time.
        """
        assert not self.is_running, "the server is running"
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._environment
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Poll the control plane until it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.is_running:
                raise ServerProcessError(f"the server ended instead of starting:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerProcessError(f"the server did not answer in {START_TIMEOUT_S} s:\n{self._log_tail()}")
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> int:
        """Ask the server to stop (SIGTERM), and wait until it has. Returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Stop the server at once (SIGKILL), as the kernel would. Returns its exit status."""
        return self._end(signal.SIGKILL)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the process has ended by itself. Returns its exit status."""
        assert self._process is not None, "the server was not started"
        return self._process.wait(timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        host: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send one JSON request to the control plane, or to `host` as a description of an index gives it.

        Returns:
            The decoded body, or None where it is empty.

        Raises:
            urllib.error.HTTPError: any status but 2xx.
        """
        request = urllib.request.Request(
            self.base_url(host) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Api-Key": self.api_key, "Content-Type": "application/json", **(headers or {})},
        )
        with urllib.request.urlopen(request, timeout=START_TIMEOUT_S, context=self._tls_context()) as response:
            payload = response.read()
        return json.loads(payload) if payload else None

    def base_url(self, host: str | None = None) -> str:
        """The address, with scheme, of a `host` from a description; of the control plane where it is None."""
        if host is None:
            return self.url
        return host if "://" in host else f"{'https' if self.tls else 'http'}://{host}"

    def _build_command(self, api_keys: Sequence[str], arguments: Sequence[str]) -> list[str]:
        first, last = self.index_ports
        command = [sys.executable, "-m", "pinyon", "serve", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), "--index-ports", f"{first}-{last}"]
        command += ["--tls"] if self.tls else []
        for key in api_keys:
            command += ["--api-key", key]
        return [*command, *arguments]

    def _answers(self) -> bool:
        try:
            self.request("GET", "/indexes")
        except (OSError, ssl.SSLError):
            return False
        return True

    def _tls_context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca_file)) if self.tls else None

    def _end(self, signal_number: signal.Signals) -> int:
        assert self._process is not None, "the server was not started"
        if self._process.poll() is None:
            self._process.send_signal(signal_number)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerProcessError(
                f"the server did not end in {STOP_TIMEOUT_S} s after {signal_number.name}:\n{self._log_tail()}"
            ) from None

    def _log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-40:])


def _environment() -> dict[str, str]:
    """The test's own, without settings that the person who runs it may have for a server of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PINYON_")}
    return kept | {"PYTHONPATH": str(REPOSITORY / "src")}


def free_ports(count: int) -> int:
    """The first of `count` adjacent ports that nobody uses, below the range that the kernel gives to clients."""
    for _ in range(200):
        first = random.randrange(15_000, 32_000 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise ServerProcessError(f"no {count} adjacent free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
