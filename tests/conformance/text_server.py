"""The Records API by raw requests: what a test compares a client with, and what it looks at after a restart."""

import json
from typing import Any
from urllib.parse import quote

from tests.conformance.curl import Answer, Endpoint, control_plane, data_plane
from tests.conformance.records_scenario import (
    DENSE_MODEL,
    DENSE_SEARCHES,
    NAMESPACE,
    ODD_NAMESPACE,
    RECORDS,
    RERANKER,
    SPARSE_MODEL,
    SPARSE_SEARCHES,
    TEXT_FIELD,
)
from tests.server_process import ServerProcess

NDJSON: dict[str, str | None] = {"Content-Type": "application/x-ndjson"}


def create_for_model(server: ServerProcess, name: str, model: str, **embed: Any) -> Endpoint:
    """An index that embeds text."""
    body = {
        "name": name,
        "cloud": "aws",
        "region": "us-east-1",
        "embed": {"model": model, "field_map": {"text": TEXT_FIELD}, **embed},
    }
    answer = control_plane(server).send("POST", "/indexes/create-for-model", body)
    assert answer.status == 201, answer.text
    return data_plane(server, answer.json["host"])


def records_path(namespace: str, verb: str) -> str:
    """The path of `upsert` or `search`."""
    return f"/records/namespaces/{quote(namespace, safe='')}/{verb}"


def ndjson(records: list[dict[str, Any]]) -> bytes:
    """One object a line, the last one with an end."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def upsert(index: Endpoint, records: list[dict[str, Any]], namespace: str = NAMESPACE) -> Answer:
    """Upsert records of text."""
    return index.send("POST", records_path(namespace, "upsert"), ndjson(records), headers=NDJSON)


def search(index: Endpoint, body: dict[str, Any], namespace: str = NAMESPACE) -> Answer:
    """Search records."""
    return index.send("POST", records_path(namespace, "search"), body)


def plain_search(index: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
    """What a search found, as the scripts print it."""
    answer = search(index, body)
    assert answer.status == 200, answer.text
    usage = answer.json["usage"]
    return {
        "hits": [[hit["_id"], round(hit["_score"], 4), hit["fields"]] for hit in answer.json["result"]["hits"]],
        "usage": [usage.get(name) for name in ("read_units", "embed_total_tokens", "rerank_units")],
    }


def embedded_query(server: ServerProcess, text: str) -> list[float]:
    """The vector of a text to search for."""
    body = {"model": DENSE_MODEL, "inputs": [{"text": text}], "parameters": {"input_type": "query"}}
    answer = control_plane(server).send("POST", "/embed", body)
    assert answer.status == 200, answer.text
    values: list[float] = answer.json["data"][0]["values"]
    return values


def scenario(server: ServerProcess) -> dict[str, Any]:
    """What the scripts `records.py` and `records.mjs` take in `SCENARIO`."""
    by_vector = {"query": {"vector": {"values": embedded_query(server, "Disease prevention")}, "top_k": 3}}
    return {
        "dense_model": DENSE_MODEL,
        "sparse_model": SPARSE_MODEL,
        "reranker": RERANKER,
        "namespace": NAMESPACE,
        "odd_namespace": ODD_NAMESPACE,
        "records": RECORDS,
        "dense_searches": DENSE_SEARCHES | {"vector": by_vector},
        "sparse_searches": SPARSE_SEARCHES,
    }
