"""One server for each module; every client has indexes of its own on it."""

from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess

API_KEY = "conformance-key"
STAND_INS = ("--models-stand-ins",)
"""Pinecone's models are served by what needs no network. Nothing is loaded before a text comes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A plaintext server that takes one key."""
    data_dir = tmp_path_factory.mktemp("server") / "data"
    with ServerProcess(data_dir, index_count=120, api_keys=[API_KEY], arguments=STAND_INS) as running:
        yield running
        assert_clean_end(running)


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that speaks TLS under its own certificate authority."""
    data_dir = tmp_path_factory.mktemp("tls-server") / "data"
    with ServerProcess(data_dir, index_count=30, api_keys=[API_KEY], tls=True, arguments=STAND_INS) as running:
        yield running
        assert_clean_end(running)


def assert_clean_end(server: ServerProcess) -> None:
    """Nothing that a client sent was a defect of the server's, and it stops when it is asked to."""
    assert server.stop() == 0
    assert [line for line in server.log.splitlines() if " error " in line or "Traceback" in line] == []
