"""Runs a script of `scripts/` in the environment of an official client, against a server, and returns what it saw.

A script takes the server's address and key from its environment and prints one JSON object in its last line.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.conformance.environments import (
    NPM_CLIENTS,
    PYTHON_CLIENTS,
    npm_environment,
    python_environment,
    required_tool,
    tool_environment,
)
from tests.server_process import ServerProcess

SCRIPTS: Final = Path(__file__).resolve().parent / "scripts"
SCRIPT_TIMEOUT_S: Final = 240
NODE_ADVICE: Final = "install Node.js 20 or newer"


class ScriptError(Exception):
    """A script ended with an error. The message has all that it printed, and the end of the server's log."""


@dataclass(frozen=True)
class Client:
    """One official client: its package and version, and in an environment with a tool, what that is."""

    language: Literal["python", "npm"]
    version: str
    tool: str = ""

    def __str__(self) -> str:
        return f"{self.language}-{self.version}"

    @property
    def major(self) -> int:
        """The first number of the version."""
        return int(self.version.split(".")[0])

    @property
    def prefix(self) -> str:
        """Its name in the names of indexes."""
        return str(self).replace(".", "-")

    @property
    def has_grpc(self) -> bool:
        """Only the Python clients speak gRPC."""
        return self.language == "python"

    @property
    def knows_sparse_indexes(self) -> bool:
        """Sparse indexes came with Python 6 and JavaScript 5."""
        return self.major >= (6 if self.language == "python" else 5)


WITH_PINECONE_TEXT: Final = Client("python", "10.2.0", "pinecone-text")
PYTHON: Final = tuple(Client("python", version) for version in PYTHON_CLIENTS)
NPM: Final = tuple(Client("npm", version) for version in NPM_CLIENTS)


def python_clients(*, since: int = 0) -> Iterable[Client]:
    """The Python clients from a major version on."""
    return [client for client in PYTHON if client.major >= since]


def run_script(
    client: Client,
    script: str,
    server: ServerProcess,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run `scripts/<script>.py` or `.mjs` with a client.

    Args:
        client: whose environment to run in.
        script: the file's name without its ending.
        server: the server to point the client at.
        arguments: of the script.
        environment: variables beside those that name the server.

    Returns:
        The JSON value that the script printed.

    Raises:
        ScriptError: the script failed.
        EnvironmentBuildError: the client's environment cannot be built; the message says what to install.
    """
    command, folder = _command(client, script)
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=_environment(server) | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        log = "\n".join(server.log.splitlines()[-20:])
        raise ScriptError(f"{script} with {client}:\n{done.stdout}{done.stderr}\nserver's log:\n{log}")
    return json.loads(done.stdout.splitlines()[-1])


def _command(client: Client, script: str) -> tuple[list[str], Path]:
    """The command that runs a script, and the folder to run it in: for JavaScript the one with `node_modules`."""
    if client.language == "python":
        python = tool_environment(client.tool) if client.tool else python_environment(client.version)
        return [str(python), str(SCRIPTS / f"{script}.py")], SCRIPTS
    return [required_tool("node", NODE_ADVICE), str(SCRIPTS / f"{script}.mjs")], npm_environment(client.version)


def _environment(server: ServerProcess) -> dict[str, str]:
    """The environment of a script: that of the tests, without what would lead Python or a client astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PINECONE_"))}
    named = {"SERVER_URL": server.url, "SERVER_KEY": server.api_key, "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | named | (_trust(server) if server.tls else {})


def _trust(server: ServerProcess) -> dict[str, str]:
    """How each generation is told of the server's certificate authority: all but Python up to 8 read a variable."""
    ca_file = str(server.ca_file)
    return {"SERVER_CA": ca_file, "SSL_CERT_FILE": ca_file, "NODE_EXTRA_CA_CERTS": ca_file}
