"""The life of an index with every client."""

import pytest

from tests.conformance.harness import NPM, PYTHON, run_script
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

CLIENTS = pytest.mark.parametrize("client", [*PYTHON, *NPM], ids=str)
CREATED = {"dimension": 8, "metric": "euclidean", "ready": True, "state": "Ready", "protected": True}


@CLIENTS
def test_an_index_is_created_changed_and_deleted(client, server):
    seen = run_script(client, "control_plane", server, client.prefix)
    created = {"name": f"{client.prefix}-control", **CREATED}
    assert seen["created"] == created
    assert seen["unprotected"] == created | {"protected": False}
    assert [seen[step] for step in ("before", "listed", "has_index", "deleted")] == [False, True, True, False]
    assert seen["cosine_is_default"] == "cosine"
    assert_refusals(seen, f"{client.prefix}-control")
    if (client.language, client.major) != ("python", 5):
        assert seen["tagged"] == {"team": "search", "stage": "test"}
        assert seen["retagged"] == {"stage": "test", "owner": "me"}
    if client.knows_sparse_indexes:
        assert seen["sparse"] == {"ready": True, "tags": {"a": "b"}}
        assert seen["both_listed"]


def assert_refusals(seen: dict[str, str | None], name: str) -> None:
    """Each refusal is worded as Pinecone words it, where the server is asked at all."""
    assert "already exists" in (seen["created_again"] or "")
    assert "Deletion protection is enabled for this index" in (seen["protected"] or "")
    assert name in (seen["described_after"] or "")
    assert name in (seen["deleted_again"] or "")
    assert seen["upper_case"]
    assert seen["dimension"]


@CLIENTS
def test_a_sparse_index_does_not_spoil_the_list_of_an_old_client(client, server):
    """Clients from before sparse indexes fail on a whole list when one entry lacks a dimension."""
    add_index(server, "of-all", dimension=2, metric="cosine")
    add_index(server, "of-sparse", vector_type="sparse", metric="dotproduct")
    names = run_script(client, "list_indexes", server)
    assert "of-all" in names
    if client.knows_sparse_indexes:
        assert "of-sparse" in names


def add_index(server: ServerProcess, name: str, **options) -> None:
    """Create an index by a plain request, unless an earlier test did."""
    if name in [index["name"] for index in server.request("GET", "/indexes", headers=VERSION)["indexes"]]:
        return
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    server.request("POST", "/indexes", {"name": name, "spec": spec, **options}, headers=VERSION)


VERSION = {"X-Pinecone-Api-Version": "2025-10"}
