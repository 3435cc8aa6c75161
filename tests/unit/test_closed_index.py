"""A server over a damaged index: it starts, tells of the index, refuses what is asked of it, and serves the others."""

import json
import shutil
import urllib.error
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.grpc_stubs import stubs
from tests.server_process import ServerProcess

VERSIONS = ("2024-04", "2025-10", "2026-07")
VECTOR = {"id": "a", "values": [1.0, 2.0]}
QUERY = {"vector": [1.0, 2.0], "topK": 1}


def create(server: ServerProcess, name: str) -> str:
    """Create an index with a record in it; returns its host."""
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    host: str = server.request("POST", "/indexes", {"name": name, "dimension": 2, "spec": spec})["host"]
    server.request("POST", "/vectors/upsert", {"vectors": [VECTOR]}, host=host)
    return host


def refused(server: ServerProcess, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    """Status and body of a request that must fail."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.request(method, path, body, **options)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())


def log_of(data_dir: Path, name: str) -> Path:
    """The log file of an index."""
    indexes = json.loads((data_dir / "catalog.json").read_bytes())["indexes"]
    (index_id,) = (index["index_id"] for index in indexes if index["name"] == name)
    (path,) = data_dir.glob(f"indexes/{index_id}/log/*.log")
    return path


def damage(path: Path) -> None:
    """Flip a bit in the header of a file."""
    content = bytearray(path.read_bytes())
    content[1] ^= 1
    path.write_bytes(content)


def test_one_damaged_index_leaves_the_others_and_comes_back_when_it_was_restored(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", index_count=3) as server:
        host, other = create(server, "damaged"), create(server, "whole")
        server.stop()
        path = log_of(server.data_dir, "damaged")
        copy = shutil.copytree(path.parents[1], tmp_path / "copy")
        damage(path)
        damaged = path.read_bytes()
        name = path.relative_to(server.data_dir).as_posix()

        server.start()
        assert server.request("POST", "/query", QUERY, host=other)["matches"][0]["id"] == "a"
        server.request("POST", "/vectors/upsert", {"vectors": [VECTOR | {"id": "b"}]}, host=other)
        check_it_is_shown(server)
        check_it_is_in_the_report_and_in_the_log(server, name)
        check_its_port_refuses(server, host, name)
        assert "refused" not in server.log, "the start has told, and clients come again and again"
        check_it_cannot_be_changed(server)
        server.stop()
        assert path.read_bytes() == damaged

        shutil.rmtree(path.parents[1])
        copy.rename(path.parents[1])
        server.start()
        assert server.request("GET", "/indexes/damaged")["status"] == {"ready": True, "state": "Ready"}
        assert server.request("POST", "/query", QUERY, host=host)["matches"][0]["id"] == "a"
        assert server.request("GET", "/pinyon/report")["closed"] == []


def check_it_is_shown(server: ServerProcess) -> None:
    for version in VERSIONS:
        headers = {"X-Pinecone-Api-Version": version}
        listed = server.request("GET", "/indexes", headers=headers)["indexes"]
        assert [(each["name"], each["status"]) for each in listed] == [
            ("damaged", {"ready": False, "state": "InitializationFailed"}),
            ("whole", {"ready": True, "state": "Ready"}),
        ]
        assert server.request("GET", "/indexes/damaged", headers=headers) == listed[0]


def check_it_is_in_the_report_and_in_the_log(server: ServerProcess, path: str) -> None:
    report = server.request("GET", "/pinyon/report")
    assert [each["name"] for each in report["indexes"]] == ["whole"]
    (closed,) = report["closed"]
    assert closed["name"] == "damaged"
    assert f"{path}, byte 0: the file header is damaged" in closed["reason"]
    (line,) = (line for line in server.log.splitlines() if " error " in line)
    assert "an index stays closed index=damaged" in line
    assert json.dumps(closed["reason"]) in line


def check_its_port_refuses(server: ServerProcess, host: str, path: str) -> None:
    for method, url, body in (
        ("POST", "/query", QUERY),
        ("POST", "/vectors/upsert", {"vectors": [VECTOR]}),
        ("GET", "/vectors/fetch?ids=a", None),
        ("POST", "/describe_index_stats", {}),
        ("GET", "/namespaces", None),
    ):
        status, answer = refused(server, method, url, body, host=host)
        assert (status, answer["code"]) == (503, 14)
        assert path in answer["message"]
    status, answer = refused(server, "POST", "/records/namespaces/n/search", {}, host=host)
    assert (status, answer["error"]["code"]) == (503, "UNAVAILABLE")

    messages, services = stubs()
    query = messages.QueryRequest(vector=[1.0, 2.0], top_k=1)
    with grpc.insecure_channel(host.removeprefix("http://")) as channel, pytest.raises(grpc.RpcError) as caught:
        services.VectorServiceStub(channel).Query(query, metadata=[("api-key", server.api_key)])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert path in caught.value.details()


def check_it_cannot_be_changed(server: ServerProcess) -> None:
    status, answer = refused(server, "PATCH", "/indexes/damaged", {"tags": {"a": "b"}})
    assert (status, answer["error"]["code"]) == (412, "FAILED_PRECONDITION")
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    status, _ = refused(server, "POST", "/indexes", {"name": "damaged", "dimension": 2, "spec": spec})
    assert status == 409


def test_a_damaged_index_can_be_deleted_and_its_name_and_port_are_free(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", index_count=1, api_keys=["secret"]) as server:
        host = create(server, "damaged")
        server.request("PATCH", "/indexes/damaged", {"deletion_protection": "enabled"})
        server.stop()
        path = log_of(server.data_dir, "damaged")
        damage(path)

        server.start()
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.request("POST", "/query", QUERY, host=host, headers={"Api-Key": "wrong"})
        caught.value.close()
        assert caught.value.code == 401
        assert refused(server, "DELETE", "/indexes/damaged")[0] == 403
        server.request("PATCH", "/indexes/damaged", {"deletion_protection": "disabled"})
        assert path.exists()
        server.request("DELETE", "/indexes/damaged")
        assert not path.parents[1].exists()
        assert server.request("GET", "/indexes") == {"indexes": []}
        assert create(server, "damaged") == host
        assert server.request("POST", "/query", QUERY, host=host)["matches"][0]["id"] == "a"


def test_a_damaged_catalog_stops_the_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", index_count=1) as server:
        create(server, "a")
        server.stop()
        damage(server.data_dir / "catalog.json")
        server.start(wait=False)
        assert server.wait() != 0
        assert "catalog.json cannot be used" in server.log
