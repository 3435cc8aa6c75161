"""curl, the client without a library: raw requests whose bytes a test chooses."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.conformance.environments import required_tool
from tests.server_process import ServerProcess

CURL_ADVICE = "install curl"


@dataclass(frozen=True)
class Answer:
    """A response: the status line's parts, headers by lower-case name, and the body."""

    status: int
    reason: str
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Endpoint:
    """An address with the headers that go with every request to it."""

    url: str
    headers: dict[str, str]

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str | None] | None = None,
    ) -> Answer:
        """Send one request. The path goes out exactly as it is given.

        Args:
            method: of HTTP.
            path: with query, already escaped.
            body: bytes as they are; anything else as JSON.
            headers: added to those of the endpoint; None leaves one out.
        """
        command = [required_tool("curl", CURL_ADVICE), "--silent", "--show-error", "--include"]
        command += ["--path-as-is", "--globoff", "--http1.1", "--max-time", "30", "--request", method]
        for name, value in (
            {"Content-Type": "application/json"} | self.headers | {"Expect": None} | (headers or {})
        ).items():
            command += ["--header", f"{name}:" if value is None else f"{name}: {value}"]
        if body is not None:
            command += ["--data-binary", "@-"]
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        done = subprocess.run([*command, self.url + path], input=payload, capture_output=True, timeout=60, check=True)
        return parse(done.stdout)


def control_plane(server: ServerProcess, version: str = "2025-10") -> Endpoint:
    """The control plane, in the words of one API version."""
    return Endpoint(server.url, {"Api-Key": server.api_key, "X-Pinecone-Api-Version": version})


def data_plane(server: ServerProcess, host: str, version: str = "2025-10") -> Endpoint:
    """An index, by the host of its description."""
    return Endpoint(server.base_url(host), {"Api-Key": server.api_key, "X-Pinecone-Api-Version": version})


def parse(response: bytes) -> Answer:
    """Split what `curl --include` printed."""
    head, _, body = response.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    _, status, *reason = status_line.split(" ", 2)
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    lower = {name.lower(): value for name, value in headers.items()}
    return Answer(int(status), " ".join(reason), lower, body.decode("utf-8", errors="replace"))
