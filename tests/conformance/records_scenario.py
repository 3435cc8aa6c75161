"""The Records API as data: what every client writes and searches, and what it must find.

Searches are bodies of `POST /records/namespaces/{namespace}/search`, as a raw request sends them; the scripts make the
calls of their client out of them. Ids and fields are expected here. Scores, tokens and units are those of the model:
every client must see what a raw request sees.

The model is a stand-in, all-MiniLM-L6-v2, but a small one of any kind would find these.
"""

from typing import Any, Final

DENSE_MODEL: Final = "multilingual-e5-large"
SPARSE_MODEL: Final = "pinecone-sparse-english-v0"
RERANKER: Final = "bge-reranker-v2-m3"
TEXT_FIELD: Final = "source_text"

NAMESPACE: Final = "articles"
ODD_NAMESPACE: Final = "a/b c"

RECORDS: Final[list[dict[str, Any]]] = [
    {
        "_id": "rec1",
        "source_text": "Apples are a great source of dietary fiber, which supports digestion and helps maintain a "
        "healthy gut.",
        "category": "digestive system",
    },
    {
        "_id": "rec2",
        "source_text": "Apples originated in Central Asia and have been cultivated for thousands of years, with over "
        "7,500 varieties available today.",
        "category": "cultivation",
    },
    {
        "_id": "rec3",
        "source_text": "Rich in vitamin C and other antioxidants, apples contribute to immune health and may reduce "
        "the risk of chronic diseases.",
        "category": "immune system",
    },
    {
        "_id": "rec4",
        "source_text": "The high fiber content in apples can also help regulate blood sugar levels, making them a "
        "favorable snack for people with diabetes.",
        "category": "endocrine system",
    },
    {
        "_id": "phone",
        "source_text": "The maker of the iPhone reported record revenue for its last quarter.",
        "category": "business",
        "year": 2024,
        "tags": ["tech", "market"],
    },
    {
        "_id": "garage",
        "source_text": "Two friends founded a computer company in a garage.",
        "category": "business",
        "year": 1976,
    },
    {
        "_id": "telescope",
        "source_text": "Astronauts repaired the telescope in orbit during a walk of seven hours.",
        "category": "space",
        "year": 1993,
        "crewed": True,
    },
    {
        "_id": "comet",
        "source_text": "The comet passes the Sun once in 76 years and grows a bright tail.",
        "category": "space",
        "year": 1986,
        "crewed": False,
        "rating": 7.5,
    },
    {
        "id": "bread",
        "source_text": "Knead the dough for ten minutes, let it rise, then bake it until the crust is brown.",
        "category": "kitchen",
    },
    {
        "id": "cafe",
        "source_text": "Le café à l’ouest de la gare ouvre à 7 h — “croissants” 🥐 compris.",
        "category": "kitchen",
    },
]
"""The first four are those of Pinecone's page "Upsert data". Ids come under both names."""

FIELDS: Final = {
    record.get("_id") or record["id"]: {name: value for name, value in record.items() if name not in ("_id", "id")}
    for record in RECORDS
}
"""What a search shows of each record: all its fields, the text among them."""


def _text(text: str, top_k: int = 3, **query: Any) -> dict[str, Any]:
    return {"query": {"inputs": {"text": text}, "top_k": top_k, **query}}


_RERANK: Final = {"model": RERANKER, "rank_fields": [TEXT_FIELD]}
_PREVENTION: Final = "Disease prevention"

DENSE_SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "prevention": _text(_PREVENTION),
    "baking": _text("how to make a loaf at home", 1),
    "orbit": _text("spacewalk repair mission", 1),
    "quarter": _text("earnings of a technology company", 2),
    "all": _text("apples", 100),
    "filter": _text("fruit", 10, filter={"category": {"$eq": "space"}}),
    "filters": _text("fruit", 10, filter={"$and": [{"year": {"$gte": 1986}}, {"crewed": True}]}),
    "tags": _text("fruit", 10, filter={"tags": {"$in": ["market"]}}),
    "nothing_passes": _text("fruit", 10, filter={"category": "none"}),
    "star": _text("spacewalk repair mission", 1) | {"fields": ["*"]},
    "one_field": _text("spacewalk repair mission", 1) | {"fields": ["category", "absent"]},
    "no_fields": _text("spacewalk repair mission", 1) | {"fields": []},
    "id": {"query": {"id": "telescope", "top_k": 1}},
    "unknown_id": {"query": {"id": "nobody", "top_k": 3}},
    "rerank": _text(_PREVENTION, 10) | {"rerank": _RERANK},
    "rerank_best": _text(_PREVENTION, 10) | {"rerank": _RERANK | {"top_n": 1}},
    "rerank_by_another": _text("apples", 10)
    | {
        "rerank": _RERANK | {"query": "repair in orbit", "top_n": 1, "parameters": {"truncate": "END"}},
        "fields": ["category"],
    },
    "rerank_near_id": {
        "query": {"id": "rec1", "top_k": 10},
        "rerank": _RERANK | {"query": "repair in orbit", "top_n": 1},
    },
    "rerank_by_category": _text("apples", 10)
    | {"rerank": {"model": RERANKER, "rank_fields": ["category"], "query": "immune system", "top_n": 1}},
    "rerank_nothing": _text("apples", 10, filter={"category": "none"}) | {"rerank": _RERANK},
}

DENSE_FOUND: Final[dict[str, list[str]]] = {
    "baking": ["bread"],
    "orbit": ["telescope"],
    "filters": ["telescope"],
    "tags": ["phone"],
    "nothing_passes": [],
    "star": ["telescope"],
    "one_field": ["telescope"],
    "no_fields": ["telescope"],
    "id": ["telescope"],
    "unknown_id": [],
    "rerank_best": ["rec3"],
    "rerank_by_another": ["telescope"],
    "rerank_near_id": ["telescope"],
    "rerank_by_category": ["rec3"],
    "rerank_nothing": [],
}
"""The ids that a search must find, in their order."""

DENSE_FIRST: Final = {"prevention": "rec3", "rerank": "rec3"}
"""The best hit, where the order of the others is the model's taste."""

DENSE_SETS: Final[dict[str, set[str]]] = {
    "quarter": {"phone", "garage"},
    "filter": {"telescope", "comet"},
    "all": set(FIELDS),
    "rerank": set(FIELDS),
}
"""All ids that a search must find."""

SPARSE_SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "fiber": _text("dietary fiber", 10),
    "plural": _text("a telescope", 10),
    "nobody": _text("quantum chromodynamics", 10),
    "filter": _text("apples", 10, filter={"category": "cultivation"}),
    "terms": _text("apples and diabetes", 10, match_terms={"strategy": "all", "terms": ["Fiber", "APPLES"]}),
    "terms_in_one": _text("apples", 10, match_terms={"strategy": "all", "terms": ["sugar blood"]}),
    "terms_beside_the_text": _text("quantum physics", 10, match_terms={"strategy": "all", "terms": ["fiber"]}),
    "no_such_term": _text("apples", 10, match_terms={"strategy": "all", "terms": ["apples", "zebra"]}),
    "rerank": _text("apples", 10) | {"rerank": _RERANK | {"query": "sugar and diabetes", "top_n": 1}},
    "id": {"query": {"id": "comet", "top_k": 1}},
}

SPARSE_FOUND: Final[dict[str, list[str]]] = {
    "fiber": ["rec1", "rec4"],
    "plural": ["telescope"],
    "nobody": [],
    "filter": ["rec2"],
    "terms": ["rec4", "rec1"],
    "terms_in_one": ["rec4"],
    "terms_beside_the_text": ["rec1", "rec4"],
    "no_such_term": [],
    "rerank": ["rec4"],
    "id": ["comet"],
}

REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "missing_text": (400, "source_text"),
    "text_is_a_number": (400, "source_text"),
    "empty_text": (400, "source_text"),
    "object_as_field": (400, "place"),
    "too_many": (400, "Batch size exceeds 96"),
    "plain_index": (400, "Integrated inference is not configured for this index"),
    "plain_search": (400, "Integrated inference is not configured for this index"),
    "wrong_dimension": (400, "Vector dimension 3 does not match the dimension of the index 1024"),
    "wrong_query_dimension": (400, "Vector dimension 3 does not match the dimension of the index 1024"),
    "text_and_id": (400, "inputs"),
    "terms_on_dense": (400, "match_terms"),
    "too_long_text": (400, "exceeds the maximum token limit"),
    "too_long_query": (400, "exceeds the maximum token limit"),
    "rank_field": (400, "field 'nothing' not found in document at index 0"),
    "two_rank_fields": (400, "Only one rank field is supported for model"),
    "rerank_without_query": (400, "query"),
    "reranker": (404, "Model 'no-such-model' not found"),
    "filter": (400, "$like"),
    "model": (
        400,
        "Model text-embedding-ada-002 not found. Supported models: 'all-MiniLM-L6-v2', 'bm25-english', "
        "'llama-text-embed-v2', 'multilingual-e5-large', 'pinecone-sparse-english-v0'",
    ),
    "model_reranks": (400, "bge-reranker-v2-m3"),
    "field_map": (400, "Missing required key 'text'"),
    "metric": (400, "metric"),
    "same_name": (409, "already exists"),
}
"""Status and a part of the text of each refusal. No client refuses any of these by itself."""
