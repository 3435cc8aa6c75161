"""Raw REST requests in every form that some client sends, or that a person would type."""

import json
import subprocess
from typing import Any

import pytest

from tests.conformance.curl import Answer, Endpoint, control_plane, data_plane

pytestmark = pytest.mark.conformance

SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}


@pytest.fixture(scope="module")
def host(server):
    """An index of dimension 2 with two records in each of two namespaces."""
    body = {"name": "raw", "dimension": 2, "metric": "dotproduct", "spec": SERVERLESS}
    host = control_plane(server).send("POST", "/indexes", body).json["host"]
    for namespace in ("", "a/b c"):
        vectors = [{"id": "r1", "values": [1, 0], "metadata": {"n": 1}}, {"id": "r2", "values": [0, 1]}]
        data_plane(server, host).send("POST", "/vectors/upsert", {"vectors": vectors, "namespace": namespace})
    return host


@pytest.fixture
def index(server, host) -> Endpoint:
    return data_plane(server, host)


def best(answer: Answer) -> Any:
    """The id of the first match."""
    assert answer.status == 200, answer.text
    return answer.json["matches"][0]["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"topK": 1, "vector": [0, 1], "includeValues": True},
        {"top_k": 1, "vector": [0, 1], "include_values": True},
        {"topK": 1.0, "vector": [0.0, 1.0], "includeValues": True},
        {"topK": "1", "vector": [0, 1], "includeValues": True},
        {"topK": 1, "vector": [0, 1], "includeValues": True, "sparseVector": {"indices": [3.0], "values": [1]}},
        {"topK": 1, "vector": [0, 1], "includeValues": True, "sparse_vector": {"indices": ["3"], "values": [1]}},
        {"topK": 1, "vector": [0, 1], "includeValues": True, "filter": {}, "namespace": "__default__"},
        {"topK": 1, "vector": [0, 1], "includeValues": True, "filter": None, "id": None, "namespace": None},
    ],
    ids=["camel", "snake", "floats", "strings", "float-indices", "string-indices", "default-namespace", "nulls"],
)
def test_names_and_numbers_in_every_form(index, body):
    answer = index.send("POST", "/query", body)
    assert best(answer) == "r2"
    assert answer.json["matches"][0]["values"] == [0, 1]


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/octet-stream", None])
def test_the_content_type_does_not_matter(index, content_type):
    answer = index.send("POST", "/query", {"topK": 1, "vector": [1, 0]}, headers={"Content-Type": content_type})
    assert best(answer) == "r1"


def test_accept_and_user_agent_may_be_missing(index):
    headers = {"Accept": None, "User-Agent": None}
    assert best(index.send("POST", "/query", {"topK": 1, "vector": [1, 0]}, headers=headers)) == "r1"


@pytest.mark.parametrize("path", ["a%2Fb%20c", "a/b%20c", "a%2fb+c", "a%2Fb%20c?"])
def test_a_namespace_with_a_slash_and_a_space(index, path):
    answer = index.send("GET", f"/namespaces/{path}")
    if "+" in path:
        assert answer.status == 404, "a plus sign in a path is a plus sign"
    else:
        assert (answer.status, answer.json["name"], answer.json["record_count"]) == (200, "a/b c", "2")


@pytest.mark.parametrize("space", ["%20", "+"])
def test_a_space_in_a_query_is_escaped_in_either_way(index, space):
    answer = index.send("GET", f"/vectors/fetch?ids=r1&ids=r2&namespace=a%2Fb{space}c")
    assert answer.status == 200
    assert sorted(answer.json["vectors"]) == ["r1", "r2"]


def test_a_record_is_shown_in_full(index):
    answer = index.send("GET", "/vectors/fetch?ids=r1")
    vector = {"id": "r1", "values": [1, 0], "metadata": {"n": 1}}
    assert answer.json["vectors"] == {"r1": vector}
    assert answer.json["namespace"] == "__default__"
    assert answer.json["usage"]["readUnits"] >= 1


@pytest.mark.parametrize(("version", "name"), [("2024-07", ""), ("2025-04", ""), ("2025-10", "__default__")])
def test_the_default_namespace_has_the_name_of_its_version(server, host, version, name):
    stats = data_plane(server, host, version).send("POST", "/describe_index_stats", {}).json
    assert stats["namespaces"][name]["vectorCount"] == 2
    assert (stats["dimension"], stats["totalVectorCount"]) == (2, 4)


def test_a_match_has_all_fields_but_no_more_than_asked_for(index):
    answer = index.send("POST", "/query", {"topK": 1, "vector": [1, 0]}).json
    assert answer["matches"] == [{"id": "r1", "score": 1, "values": []}]
    assert answer["results"] == []
    assert answer["usage"]["readUnits"] >= 1


def test_writes_and_queries_tell_their_log_sequence_numbers(index):
    vectors = {"vectors": [{"id": "r", "values": [1, 1]}], "namespace": "lsn"}
    first = index.send("POST", "/vectors/upsert", vectors)
    second = index.send("POST", "/vectors/delete", {"deleteAll": True, "namespace": "lsn"})
    query = index.send("POST", "/query", {"topK": 1, "vector": [1, 0], "namespace": "lsn"})
    written = [int(answer.headers["x-pinecone-request-lsn"]) for answer in (first, second)]
    assert written[0] < written[1] <= int(query.headers["x-pinecone-max-indexed-lsn"])
    assert first.json == {"upsertedCount": 1}
    assert second.json == {}


def test_null_metadata_is_dropped(index):
    metadata: dict[str, Any] = {"kept": "x", "gone": None, "empty": "", "none": []}
    index.send("POST", "/vectors/upsert", {"vectors": [{"id": "m", "values": [1, 1], "metadata": metadata}]})
    stored = index.send("GET", "/vectors/fetch?ids=m").json["vectors"]["m"]["metadata"]
    assert stored == {"kept": "x", "empty": "", "none": []}
    index.send("POST", "/vectors/delete", {"ids": ["m"]})


def test_large_bodies_are_taken(index):
    vectors = [{"id": f"r{row}", "values": [row / 7 + 0.1, row / 13 + 0.1]} for row in range(1000)]
    body = json.dumps({"vectors": vectors, "namespace": "large"}, indent=40).encode()
    assert index.send("POST", "/vectors/upsert", body).json == {"upsertedCount": 1000}


@pytest.mark.parametrize(
    ("dimension", "metadata_bytes", "batch_size"), [(386, 0, 1000), (768, 500, 559), (1536, 2000, 245)]
)
def test_the_largest_batches_of_the_seed_page(server, dimension, metadata_bytes, batch_size):
    """Its table counts vectors as binary: as JSON text they are far larger than its 2 MB."""
    body = {"name": f"batch-{dimension}", "dimension": dimension, "metric": "cosine", "spec": SERVERLESS}
    host = control_plane(server).send("POST", "/indexes", body).json["host"]
    metadata = {"text": "x" * (metadata_bytes - len('{"text":""}'))} if metadata_bytes else {}
    values = [0.1234567 + row / dimension for row in range(dimension)]
    vectors = [{"id": str(row), "values": values, "metadata": metadata} for row in range(batch_size)]
    answer = data_plane(server, host).send("POST", "/vectors/upsert", {"vectors": vectors})
    assert (answer.status, answer.json) == (200, {"upsertedCount": batch_size})


def test_a_body_may_come_in_chunks(index):
    answer = index.send("POST", "/query", {"topK": 1, "vector": [1, 0]}, headers={"Transfer-Encoding": "chunked"})
    assert best(answer) == "r1"


def test_every_answer_has_a_reason_phrase_and_a_content_type(server, index):
    for answer in (
        index.send("POST", "/query", {"topK": 1, "vector": [1, 0]}),
        index.send("POST", "/query", {"topK": 0, "vector": [1, 0]}),
        control_plane(server).send("GET", "/indexes/unknown"),
    ):
        assert answer.reason
        assert answer.headers["content-type"].startswith("application/json")


def test_one_index_is_shown_in_the_shape_of_each_version(server):
    old = control_plane(server, "2025-10").send("GET", "/indexes/raw").json
    assert (old["dimension"], old["metric"], old["vector_type"]) == (2, "dotproduct", "dense")
    assert old["spec"]["serverless"]["cloud"] == "aws"
    new = control_plane(server, "2026-07").send("GET", "/indexes/raw").json
    values = new["schema"]["fields"]["_values"]
    assert (values["type"], values["dimension"], values["metric"]) == ("dense_vector", 2, "dotproduct")
    assert (new["deployment"]["deployment_type"], new["tags"]) == ("managed", None)
    assert not {"dimension", "metric", "spec"} & set(new)
    assert old["host"] == new["host"]


@pytest.mark.parametrize("version", ["unstable", "2031-01", None])
def test_an_unknown_version_is_answered(server, version):
    answer = control_plane(server).send("GET", "/indexes/raw", headers={"X-Pinecone-Api-Version": version})
    assert (answer.status, answer.json["metric"]) == (200, "dotproduct")


def test_the_name_of_the_version_header_may_have_any_case(server):
    headers = {"X-Pinecone-Api-Version": None, "x-PINECONE-api-VERSION": "2026-07"}
    assert "schema" in control_plane(server).send("GET", "/indexes/raw", headers=headers).json


def test_an_index_is_created_by_schema(server):
    control = control_plane(server, "2026-07")
    fields = {"_values": {"type": "dense_vector", "dimension": 3, "metric": "euclidean"}}
    created = control.send("POST", "/indexes", {"name": "by-schema", "schema": {"fields": fields}})
    assert (created.status, created.json["status"]["ready"]) == (201, True)
    old = control_plane(server, "2025-10").send("GET", "/indexes/by-schema").json
    assert (old["dimension"], old["metric"]) == (3, "euclidean")
    deleted = control.send("DELETE", "/indexes/by-schema")
    assert (deleted.status, deleted.text) == (202, "")


def test_tls_on_a_plaintext_port_is_recognised(server):
    with pytest.raises(subprocess.CalledProcessError, match="exit status 35"):
        Endpoint(server.url.replace("http://", "https://"), {}).send("GET", "/indexes")
    assert "TLS" in server.log
