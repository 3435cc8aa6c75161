"""Everything the data plane does, over one transport: `data_plane.py rest|grpc PREFIX`.

`FILTERS` in the environment holds pairs of a filter's text and the filter. Prints one JSON object: part -> step ->
what the client saw. The same parts come from `data_plane.mjs`, and all of them are compared with one expectation in
`expected.py`. Parts that a client cannot express are left out.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import plain
from connect import VERSION, open_index, rest_client
from pinecone import ServerlessSpec

TRANSPORT, PREFIX = sys.argv[1:]

FILMS = [
    {"id": "A", "values": [1.0, 0.0, 0.0, 0.0], "metadata": {"genre": "comedy", "year": 2020}},
    {"id": "B", "values": [0.0, 1.0, 0.0, 0.0], "metadata": {"genre": "documentary", "year": 2019}},
    {"id": "C", "values": [1.0, 1.0, 0.0, 0.0], "metadata": {"genre": "comedy", "year": 2019, "tags": ["x", "y"]}},
    {"id": "D", "values": [0.0, 0.0, 1.0, 1.0], "metadata": {"genre": "drama", "liked": True, "rating": 7.5}},
    {"id": "E", "values": [0.6, 0.8, 0.0, 0.0]},
]

FILTERS = json.loads(os.environ["FILTERS"])


def create(kind: str, **options: Any) -> Any:
    """Create an index named after `kind`, and open it over the transport under test."""
    client = rest_client()
    name = f"{PREFIX}-{kind}"
    client.create_index(name=name, spec=ServerlessSpec(cloud="aws", region="us-east-1"), **options)
    return open_index(TRANSPORT, client.describe_index(name).host)


def dense(index: Any) -> dict[str, Any]:
    """Records with metadata in a cosine index of dimension 4."""
    here = {"namespace": "films"}
    query = {"vector": [1.0, 0.0, 0.0, 0.0], "top_k": 10, **here}
    return {
        "upserted": index.upsert(vectors=FILMS, **here).upserted_count,
        "nearest": plain.matches(index.query(vector=[1.0, 0.0, 0.0, 0.0], top_k=3, **here)),
        "by_id": plain.matches(index.query(id="A", top_k=2, **here)),
        "all": plain.matches(index.query(**query)),
        "filters": {text: sorted(plain.ids(index.query(filter=one, **query))) for text, one in FILTERS},
        "nothing_included": plain.record(index.query(vector=[1.0, 0.0, 0.0, 0.0], top_k=1, **here).matches[0]),
        "all_included": [
            plain.record(match)
            for match in index.query(
                vector=[1.0, 0.0, 0.0, 0.0], top_k=2, include_values=True, include_metadata=True, **here
            ).matches
        ],
        "fetched": plain.fetched(index.fetch(ids=["A", "D", "E", "missing"], **here)),
        "unknown_id": plain.ids(index.query(id="missing", top_k=3, **here)),
        "unknown_namespace": plain.ids(index.query(vector=[1.0, 0.0, 0.0, 0.0], top_k=3, namespace="nowhere")),
        "nothing_fetched": plain.fetched(index.fetch(ids=["A"], namespace="nowhere")),
        "stats": stats(index),
    }


def stats(index: Any) -> dict[str, Any]:
    """What `describe_index_stats` counts."""
    answer = index.describe_index_stats()
    return {
        "dimension": answer.dimension,
        "total": answer.total_vector_count,
        "namespaces": plain.counts(answer),
    }


def changes(index: Any) -> dict[str, Any]:
    """Updates, overwrites and deletes, each read back at once. Starts where `dense` ends."""
    here = {"namespace": "films"}
    seen: dict[str, Any] = {}

    index.update(id="A", values=[0.0, 0.0, 0.0, 2.0], **here)
    index.update(id="B", set_metadata={"year": 2021, "seen": True}, **here)
    index.update(id="missing", values=[1.0, 1.0, 1.0, 1.0], **here)
    seen["updated"] = plain.fetched(index.fetch(ids=["A", "B", "missing"], **here))
    seen["updated_is_searched"] = plain.matches(index.query(vector=[0.0, 0.0, 0.0, 1.0], top_k=1, **here))

    index.upsert(vectors=[{"id": "C", "values": [0.0, 0.0, 5.0, 0.0]}], **here)
    seen["overwritten"] = plain.fetched(index.fetch(ids=["C"], **here))

    index.delete(ids=["A", "missing"], **here)
    seen["after_delete_ids"] = plain.counts(index.describe_index_stats())
    index.delete(filter={"genre": {"$eq": "drama"}}, **here)
    seen["after_delete_filter"] = sorted(plain.ids(index.query(vector=[1.0, 1.0, 1.0, 1.0], top_k=10, **here)))
    index.delete(delete_all=True, **here)
    seen["after_delete_all"] = plain.ids(index.query(vector=[1.0, 1.0, 1.0, 1.0], top_k=10, **here))
    return seen


def default_namespace(index: Any) -> dict[str, Any]:
    """No namespace, "" and "__default__" are one. Tuples do as well as dictionaries."""
    index.upsert(vectors=[("one", [1.0, 2.0, 3.0, 4.0]), ("two", [4.0, 3.0, 2.0, 1.0], {"side": "left"})])
    index.upsert(vectors=[("three", [1.0, 1.0, 1.0, 2.0])], namespace="__default__")
    seen = {
        "stats": plain.counts(index.describe_index_stats()),
        "fetched": plain.fetched(index.fetch(ids=["one", "two", "three"], namespace="")),
        "nearest": plain.ids(index.query(vector=[1.0, 2.0, 3.0, 4.0], top_k=1, namespace="__default__")),
    }
    index.delete(delete_all=True, namespace="")
    return seen


def listing(index: Any) -> dict[str, Any]:
    """Ids in byte order, by prefix and page."""
    ids = [f"page-{number}" for number in range(7)] + ["other", "Page-0"]
    index.upsert(vectors=[(id, [1.0, 1.0, 1.0, 1.0]) for id in ids], namespace="pages")
    return {
        "pages": plain.pages(index.list(prefix="page-", limit=3, namespace="pages")),
        "all": plain.pages(index.list(namespace="pages")),
        "no_match": [page for page in plain.pages(index.list(prefix="nothing", namespace="pages")) if page],
    }


def odd_names(index: Any) -> dict[str, Any]:
    """Namespaces and ids that must be escaped in a URL. In a path 9.1 escapes neither % nor ? nor #."""
    namespace, id = "a/b c%2Fd?e&f=g+h#i", "id/with spaces & %41?+#\"'"
    index.upsert(vectors=[(id, [1.0, 2.0, 3.0, 4.0])], namespace=namespace)
    seen = {
        "fetched": plain.fetched(index.fetch(ids=[id], namespace=namespace)),
        "listed": plain.pages(index.list(prefix="id/with ", namespace=namespace)),
        "counted": plain.counts(index.describe_index_stats()).get(namespace),
    }
    if VERSION >= (7,):
        index.upsert(vectors=[("one", [1.0, 2.0, 3.0, 4.0])], namespace="a/b c")
        seen["described"] = int(index.describe_namespace(namespace="a/b c").record_count)
        index.delete_namespace(namespace="a/b c")
        seen["gone"] = plain.counts(index.describe_index_stats()).get("a/b c")
    return seen


def hybrid(index: Any) -> dict[str, Any]:
    """Dense and sparse values in a dotproduct index; the score of both is their sum."""
    records = [
        {"id": "h1", "values": [1.0, 0.0, 0.0, 0.0], "sparse_values": {"indices": [1, 5], "values": [1.0, 2.0]}},
        {"id": "h2", "values": [0.0, 1.0, 0.0, 0.0], "sparse_values": {"indices": [5], "values": [1.0]}},
        {"id": "h3", "values": [0.75, 0.0, 0.0, 0.0]},
    ]
    vector, sparse = [1.0, 0.0, 0.0, 0.0], {"indices": [5, 4294967295], "values": [0.5, 9.0]}
    index.upsert(vectors=records)
    return {
        "both": plain.matches(index.query(vector=vector, sparse_vector=sparse, top_k=3)),
        "dense_only": plain.matches(index.query(vector=vector, top_k=3)),
        "fetched": plain.fetched(index.fetch(ids=["h1", "h3"])),
        "included": plain.record(index.query(vector=vector, top_k=1, include_values=True).matches[0]),
    }


def euclidean(index: Any) -> dict[str, Any]:
    """Squared distances, the smallest first."""
    index.upsert(vectors=[("e1", [0.0, 0.0, 0.0, 1.0]), ("e2", [3.0, 4.0, 0.0, 0.0]), ("e3", [1.0, 0.0, 0.0, 1.0])])
    return {"nearest": plain.matches(index.query(vector=[0.0, 0.0, 0.0, 1.0], top_k=3))}


def sparse(index: Any) -> dict[str, Any]:
    """A sparse index: only records that share an index with the query are found."""
    records = [
        {"id": "s1", "sparse_values": {"indices": [1, 2], "values": [1.0, 2.0]}, "metadata": {"lang": "en"}},
        {"id": "s2", "sparse_values": {"indices": [2], "values": [4.0]}},
        {"id": "s3", "sparse_values": {"indices": [9, 4294967295], "values": [1.0, 0.5]}},
    ]
    query = {"sparse_vector": {"indices": [1, 2], "values": [1.0, 1.0]}, "top_k": 10}
    index.upsert(vectors=records)
    return {
        "nearest": plain.matches(index.query(**query)),
        "filtered": plain.matches(index.query(filter={"lang": "en"}, **query)),
        "by_id": plain.matches(index.query(id="s3", top_k=10)),
        "fetched": plain.fetched(index.fetch(ids=["s3"])),
        "total": index.describe_index_stats().total_vector_count,
    }


def namespaces(index: Any) -> dict[str, Any]:
    """List, describe and delete namespaces."""
    for name, count in (("tenant-a", 2), ("tenant-b", 1)):
        index.upsert(vectors=[(f"r{number}", [1.0, 1.0, 1.0, 1.0]) for number in range(count)], namespace=name)
    seen = {
        "listed": {
            entry.name: int(entry.record_count)
            for page in namespace_pages(index)
            for entry in page.namespaces
            if entry.name.startswith("tenant-")
        },
        "described": int(index.describe_namespace(namespace="tenant-a").record_count),
        "default": described_default(index),
    }
    index.delete_namespace(namespace="tenant-a")
    index.delete_namespace(namespace="tenant-b")
    seen["deleted"] = [name for name in plain.counts(index.describe_index_stats()) if name.startswith("tenant-")]
    seen["unknown"] = plain.failure(index.describe_namespace, namespace="tenant-a")
    return seen


def described_default(index: Any) -> dict[str, Any]:
    """The default namespace as benchmarks look for it: as "__default__"."""
    index.upsert(vectors=[("one", [1.0, 1.0, 1.0, 1.0])], namespace="__default__")
    listed = [entry.name for page in namespace_pages(index) for entry in page.namespaces]
    described = index.describe_namespace(namespace="__default__")
    index.delete_namespace(namespace="__default__")
    return {
        "listed": [name for name in listed if name in ("", "__default__")],
        "described": [described.name, int(described.record_count)],
        "left": int(index.describe_namespace(namespace="__default__").record_count),
    }


def namespace_pages(index: Any) -> list[Any]:
    """All namespaces, one at a time."""
    pages = [index.list_namespaces_paginated(limit=1)]
    while pages[-1].pagination and pages[-1].pagination.next:
        pages.append(index.list_namespaces_paginated(limit=1, pagination_token=pages[-1].pagination.next))
    return pages


def across_namespaces(index: Any) -> dict[str, Any]:
    """One query in two namespaces at once: the client asks each of them and merges the answers."""
    for name, vectors in {"left": {"l1": [1.0, 0.0], "l2": [0.0, 1.0]}, "right": {"r1": [1.0, 1.0]}}.items():
        index.upsert(vectors=[(id, [*vector, 0.0, 0.0]) for id, vector in vectors.items()], namespace=name)
    answer = index.query_namespaces(vector=[1.0, 0.0, 0.0, 0.0], namespaces=["left", "right"], metric="cosine", top_k=2)
    return {"nearest": plain.matches(answer), "both_are_counted": answer.usage.read_units >= 2}


def by_filter(index: Any) -> dict[str, Any]:
    """What 2025-10 added: fetch and update by metadata, explicit namespaces."""
    here = {"namespace": "by-filter"}
    index.create_namespace(name="by-filter")
    seen: dict[str, Any] = {"again": plain.failure(index.create_namespace, name="by-filter")}
    index.upsert(vectors=FILMS, **here)
    comedies = {"genre": {"$eq": "comedy"}}
    seen["fetched"] = plain.fetched(index.fetch_by_metadata(filter=comedies, **here))
    seen["dry_run"] = index.update(filter=comedies, set_metadata={"fun": True}, dry_run=True, **here).matched_records
    seen["after_dry_run"] = plain.fetched(index.fetch(ids=["A"], **here))
    seen["updated"] = index.update(filter=comedies, set_metadata={"fun": True}, **here).matched_records
    seen["after_update"] = sorted(
        plain.ids(index.query(vector=[1.0, 1.0, 1.0, 1.0], top_k=9, filter={"fun": True}, **here))
    )
    index.delete_namespace(namespace="by-filter")
    return seen


def errors(index: Any) -> dict[str, str | None]:
    """Requests that the server refuses, and what the client makes of the refusal."""
    failure: Callable[..., str | None] = plain.failure
    wrong_key = open_index(TRANSPORT, rest_client().describe_index(f"{PREFIX}-dense").host, key="wrong-key")
    return {
        "upsert_dimension": failure(index.upsert, vectors=[("a", [1.0, 2.0, 3.0])]),
        "query_dimension": failure(index.query, vector=[1.0, 2.0, 3.0], top_k=1),
        "zero_vector": failure(index.upsert, vectors=[("a", [0.0, 0.0, 0.0, 0.0])]),
        "top_k": failure(index.query, vector=[1.0, 2.0, 3.0, 4.0], top_k=10_001),
        "long_id": failure(index.upsert, vectors=[("x" * 513, [1.0, 2.0, 3.0, 4.0])]),
        "unknown_operator": failure(
            index.query, vector=[1.0, 2.0, 3.0, 4.0], top_k=1, filter={"genre": {"$like": "c"}}
        ),
        "sparse_query": failure(
            index.query, vector=[1.0, 2.0, 3.0, 4.0], sparse_vector={"indices": [1], "values": [1.0]}, top_k=1
        ),
        "metadata_size": failure(index.upsert, vectors=[("a", [1.0, 2.0, 3.0, 4.0], {"text": "x" * 41_000})]),
        "unknown_namespace": failure(index.delete, ids=["a"], namespace="nowhere"),
        "id_and_vector": failure(index.query, id="a", vector=[1.0, 2.0, 3.0, 4.0], top_k=1),
        "unknown_index": failure(rest_client().describe_index, "no-such-index"),
        "wrong_key": failure(wrong_key.describe_index_stats),
        "wrong_key_control": failure(rest_client(key="wrong-key").list_indexes),
        "nothing_was_written": json.dumps(plain.fetched(index.fetch(ids=["a", "x" * 512]))),
    }


def main() -> None:
    """Run every part that this generation of the client can express."""
    index = create("dense", dimension=4, metric="cosine")
    seen = {"dense": dense(index), "changes": changes(index), "default_namespace": default_namespace(index)}
    seen |= {"listing": listing(index), "odd_names": odd_names(index), "errors": errors(index)}
    seen["across_namespaces"] = across_namespaces(index)
    if VERSION >= (7,):
        seen["namespaces"] = namespaces(index)
    if VERSION >= (8,):
        seen["by_filter"] = by_filter(index)
    seen["hybrid"] = hybrid(create("hybrid", dimension=4, metric="dotproduct"))
    seen["euclidean"] = euclidean(create("euclidean", dimension=4, metric="euclidean"))
    if VERSION >= (6,):
        seen["sparse"] = sparse(create("sparse", metric="dotproduct", vector_type="sparse"))
    print(json.dumps(seen))


main()
