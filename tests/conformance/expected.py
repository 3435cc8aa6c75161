"""What every client must see when it runs `scripts/data_plane.py` or `.mjs`: part -> step -> answer.

Dense scores of `films` are cosines with [1, 0, 0, 0]; equal scores are in order of id.
"""

import json
from typing import Any, Final

COMEDY_A: Final = {"id": "A", "metadata": {"genre": "comedy", "year": 2020}}
COMEDY_C: Final = {"id": "C", "metadata": {"genre": "comedy", "year": 2019, "tags": ["x", "y"]}}

FILTERS: Final[list[tuple[dict[str, Any], list[str]]]] = [
    ({"genre": "comedy"}, ["A", "C"]),
    ({"genre": {"$eq": "drama"}}, ["D"]),
    ({"genre": {"$ne": "comedy"}}, ["B", "D", "E"]),
    ({"year": {"$gt": 2019}}, ["A"]),
    ({"year": {"$gte": 2019}}, ["A", "B", "C"]),
    ({"year": {"$lt": 2020}}, ["B", "C"]),
    ({"year": {"$lte": 2020}}, ["A", "B", "C"]),
    ({"genre": {"$in": ["comedy", "drama"]}}, ["A", "C", "D"]),
    ({"genre": {"$nin": ["comedy", "drama"]}}, ["B", "E"]),
    ({"tags": {"$eq": "x"}}, ["C"]),
    ({"tags": {"$in": ["y", "z"]}}, ["C"]),
    ({"tags": {"$ne": "x"}}, ["A", "B", "D", "E"]),
    ({"liked": True}, ["D"]),
    ({"rating": {"$gt": 7, "$lt": 8}}, ["D"]),
    ({"year": {"$exists": False}}, ["D", "E"]),
    ({"genre": "comedy", "year": 2019}, ["C"]),
    ({"$and": [{"genre": "comedy"}, {"year": {"$gte": 2020}}]}, ["A"]),
    ({"$or": [{"genre": "drama"}, {"year": 2020}]}, ["A", "D"]),
    ({"$and": [{"$or": [{"genre": "drama"}, {"genre": "comedy"}]}, {"year": {"$exists": True}}]}, ["A", "C"]),
]

DENSE: Final[dict[str, Any]] = {
    "upserted": 5,
    "nearest": [["A", 1], ["C", 0.7071], ["E", 0.6]],
    "by_id": [["A", 1], ["C", 0.7071]],
    "all": [["A", 1], ["C", 0.7071], ["E", 0.6], ["B", 0], ["D", 0]],
    "filters": {json.dumps(expression): ids for expression, ids in FILTERS},
    "nothing_included": {"id": "A"},
    "all_included": [{**COMEDY_A, "values": [1, 0, 0, 0]}, {**COMEDY_C, "values": [1, 1, 0, 0]}],
    "fetched": {
        "A": {**COMEDY_A, "values": [1, 0, 0, 0]},
        "D": {"id": "D", "values": [0, 0, 1, 1], "metadata": {"genre": "drama", "liked": True, "rating": 7.5}},
        "E": {"id": "E", "values": [0.6, 0.8, 0, 0]},
    },
    "unknown_id": [],
    "unknown_namespace": [],
    "nothing_fetched": {},
    "stats": {"dimension": 4, "total": 5, "namespaces": {"films": 5}},
}

CHANGES: Final[dict[str, Any]] = {
    "updated": {
        "A": {**COMEDY_A, "values": [0, 0, 0, 2]},
        "B": {
            "id": "B",
            "values": [0, 1, 0, 0],
            "metadata": {"genre": "documentary", "year": 2021, "seen": True},
        },
    },
    "updated_is_searched": [["A", 1]],
    "overwritten": {"C": {"id": "C", "values": [0, 0, 5, 0]}},
    "after_delete_ids": {"films": 4},
    "after_delete_filter": ["B", "C", "E"],
    "after_delete_all": [],
}

DEFAULT_NAMESPACE: Final[dict[str, Any]] = {
    "stats": {"": 3},
    "fetched": {
        "one": {"id": "one", "values": [1, 2, 3, 4]},
        "three": {"id": "three", "values": [1, 1, 1, 2]},
        "two": {"id": "two", "values": [4, 3, 2, 1], "metadata": {"side": "left"}},
    },
    "nearest": ["one"],
}

LISTING: Final[dict[str, Any]] = {
    "pages": [["page-0", "page-1", "page-2"], ["page-3", "page-4", "page-5"], ["page-6"]],
    "all": [["Page-0", "other", "page-0", "page-1", "page-2", "page-3", "page-4", "page-5", "page-6"]],
    "no_match": [],
}

ODD_ID: Final = "id/with spaces & %41?+#\"'"
ODD_NAMES: Final[dict[str, Any]] = {
    "fetched": {ODD_ID: {"id": ODD_ID, "values": [1, 2, 3, 4]}},
    "listed": [[ODD_ID]],
    "counted": 1,
    "described": 1,
    "gone": None,
}

HYBRID: Final[dict[str, Any]] = {
    "both": [["h1", 2], ["h3", 0.75], ["h2", 0.5]],
    "dense_only": [["h1", 1], ["h3", 0.75], ["h2", 0]],
    "fetched": {
        "h1": {"id": "h1", "values": [1, 0, 0, 0], "sparse_values": {"indices": [1, 5], "values": [1, 2]}},
        "h3": {"id": "h3", "values": [0.75, 0, 0, 0]},
    },
    "included": {"id": "h1", "values": [1, 0, 0, 0], "sparse_values": {"indices": [1, 5], "values": [1, 2]}},
}

EUCLIDEAN: Final[dict[str, Any]] = {"nearest": [["e1", 0], ["e3", 1], ["e2", 26]]}

SPARSE: Final[dict[str, Any]] = {
    "nearest": [["s2", 4], ["s1", 3]],
    "filtered": [["s1", 3]],
    "by_id": [["s3", 1.25]],
    "fetched": {"s3": {"id": "s3", "sparse_values": {"indices": [9, 4294967295], "values": [1, 0.5]}}},
    "total": 3,
}

NAMESPACES: Final[dict[str, Any]] = {
    "listed": {"tenant-a": 2, "tenant-b": 1},
    "described": 2,
    "default": {"listed": ["__default__"], "described": ["__default__", 1], "left": 0},
    "deleted": [],
}

ACROSS_NAMESPACES: Final[dict[str, Any]] = {"nearest": [["l1", 1], ["r1", 0.7071]], "both_are_counted": True}

BY_FILTER: Final[dict[str, Any]] = {
    "fetched": {
        "A": {**COMEDY_A, "values": [1, 0, 0, 0]},
        "C": {**COMEDY_C, "values": [1, 1, 0, 0]},
    },
    "dry_run": 2,
    "after_dry_run": {"A": {**COMEDY_A, "values": [1, 0, 0, 0]}},
    "updated": 2,
    "after_update": ["A", "C"],
}

PARTS: Final[dict[str, dict[str, Any]]] = {
    "dense": DENSE,
    "changes": CHANGES,
    "default_namespace": DEFAULT_NAMESPACE,
    "listing": LISTING,
    "odd_names": ODD_NAMES,
    "hybrid": HYBRID,
    "euclidean": EUCLIDEAN,
    "sparse": SPARSE,
    "namespaces": NAMESPACES,
    "across_namespaces": ACROSS_NAMESPACES,
    "by_filter": BY_FILTER,
}
"""Parts whose every step has one right answer."""

ERRORS: Final = {
    "upsert_dimension": "Vector dimension 3 does not match the dimension of the index 4",
    "query_dimension": "Vector dimension 3 does not match the dimension of the index 4",
    "zero_vector": "Dense vectors must contain at least one non-zero value",
    "unknown_operator": "$like",
    "sparse_query": "Index configuration does not support sparse values",
    "unknown_index": "no-such-index",
}
"""What the text of an exception must contain where the server words it."""

REFUSED: Final = ("top_k", "long_id", "metadata_size", "unknown_namespace", "id_and_vector")
"""Calls that must fail; here some generations refuse by themselves, in words of their own."""
