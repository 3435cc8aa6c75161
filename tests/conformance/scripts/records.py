"""Records of text with everything that can be done to them: `records.py PREFIX`.

`SCENARIO` in the environment holds the records and searches of `records_scenario.py`. Prints one JSON object: part ->
step -> what the client saw; the same comes from `records.mjs`. Parts that a client cannot express are left out.
"""

import json
import os
import sys
from typing import Any

import plain
import text_calls
from connect import VERSION, open_index, rest_client
from pinecone import ServerlessSpec

(PREFIX,) = sys.argv[1:]
SCENARIO = json.loads(os.environ["SCENARIO"])
NAMESPACE, ODD_NAMESPACE = SCENARIO["namespace"], SCENARIO["odd_namespace"]
AWS = {"cloud": "aws", "region": "us-east-1"}
LONG = "apple " * 3000


def create(kind: str, model: str, **options: Any) -> Any:
    """Create an index that embeds text, named after `kind`. Returns its description."""
    embed = {"model": model, "field_map": {"text": "source_text"}, **options}
    return rest_client().create_index_for_model(name=f"{PREFIX}-{kind}", embed=embed, **AWS)


def create_plain(kind: str) -> Any:
    """Create an index without a model, with the vectors of the dense model. Opens it."""
    client = rest_client()
    name = f"{PREFIX}-{kind}"
    client.create_index(name=name, dimension=1024, metric="cosine", spec=ServerlessSpec(**AWS))
    return open_index("rest", client.describe_index(name).host)


def open_named(kind: str) -> Any:
    """Open the index named after `kind`."""
    return open_index("rest", rest_client().describe_index(f"{PREFIX}-{kind}").host)


def definitions() -> dict[str, Any]:
    """Create the indexes, and read how they embed text."""
    parameters = {"read_parameters": {"truncate": "NONE"}, "write_parameters": {"truncate": "NONE"}}
    seen = {
        "dense": text_calls.embed(create("dense", SCENARIO["dense_model"])),
        "sparse_model": text_calls.embed(create("sparse", SCENARIO["sparse_model"]))["model"],
        "strict": text_calls.embed(create("strict", SCENARIO["dense_model"], metric="cosine", **parameters)),
        "names": sorted(one.name for one in rest_client().list_indexes() if one.name.startswith(f"{PREFIX}-")),
    }
    if VERSION >= (6,):
        seen["described"] = text_calls.embed(rest_client().describe_index(f"{PREFIX}-dense"))
    return seen


def searches(index: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write the records, and make each search."""
    text_calls.upsert_records(index, NAMESPACE, SCENARIO["records"])
    return {name: text_calls.answer(text_calls.search(index, NAMESPACE, body)) for name, body in wanted.items()}


def life(index: Any) -> dict[str, Any]:
    """A record of text is a record: fetched, queried, updated, overwritten, deleted. Uses namespaces of its own."""
    here = {"namespace": "life"}
    text_calls.upsert_records(index, "life", SCENARIO["records"][:4])
    fetched = index.fetch(ids=["rec3", "nobody"], **here).vectors
    values = list(fetched["rec3"].values)
    seen = {
        "fetched": {id: dict(vector.metadata) for id, vector in fetched.items()},
        "dimension": len(values),
        "nearest": plain.matches(index.query(vector=values, top_k=1, **here)),
    }
    index.update(id="rec3", set_metadata={"category": "health", "checked": True}, **here)
    seen["updated"] = found(index, "life", {"id": "rec3"})
    text_calls.upsert_records(index, "life", [{"_id": "rec3", "source_text": "A train crosses the Alps."}])
    seen["overwritten"] = found(index, "life", {"inputs": {"text": "railway"}})
    index.delete(ids=["rec3"], **here)
    seen["deleted"] = [id for id, _, _ in found(index, "life", {"inputs": {"text": "railway"}}, top_k=10)]

    index.upsert(vectors=[("vector", [1.0] * 1024, {"kind": "plain"})], namespace="vectors")
    seen["vector"] = found(index, "vectors", {"vector": {"values": [1.0] * 1024}})
    seen["counted"] = plain.counts(index.describe_index_stats())["life"]
    return seen


def found(index: Any, namespace: str, query: dict[str, Any], top_k: int = 1) -> list[list[Any]]:
    """The hits of a search."""
    return text_calls.answer(text_calls.search(index, namespace, {"query": {"top_k": top_k, **query}}))["hits"]


def namespaces(index: Any) -> dict[str, Any]:
    """Namespaces that must be escaped in a path, and the default one."""
    record = [{"_id": "one", "source_text": "A cat sleeps on the sofa."}]
    seen = {}
    for namespace in (ODD_NAMESPACE, "__default__"):
        text_calls.upsert_records(index, namespace, record)
        seen[namespace] = [id for id, _, _ in found(index, namespace, {"inputs": {"text": "a pet"}})]
    counts = plain.counts(index.describe_index_stats())
    seen["counted"] = [counts[ODD_NAMESPACE], counts[""]]
    seen["nowhere"] = found(index, "nowhere", {"inputs": {"text": "a pet"}})
    return seen


def fresh(index: Any) -> list[list[Any]]:
    """Write and search in turn: `[written LSN, searched LSN, best id]`."""
    seen = []
    for word in ("apple", "train", "comet"):
        written = text_calls.upsert_records(index, "fresh", [{"_id": word, "source_text": f"All about the {word}"}])
        answer = text_calls.search(index, "fresh", {"query": {"inputs": {"text": word}, "top_k": 1}})
        lsns = (
            text_calls.headers(written)["x-pinecone-request-lsn"],
            text_calls.headers(answer)["x-pinecone-max-indexed-lsn"],
        )
        seen.append([*map(int, lsns), text_calls.hit(answer.result.hits[0])[0]])
    return seen


def configured() -> dict[str, Any]:
    """An index of vectors that gets a model: 7 to 9 can ask for it."""
    client, name = rest_client(), f"{PREFIX}-later"
    index = create_plain("later")
    index.upsert(vectors=[("vector", [1.0] * 1024)])
    seen: dict[str, Any] = {"before": client.describe_index(name).embed}
    client.configure_index(name, embed={"model": SCENARIO["dense_model"], "field_map": {"text": "chunk"}})
    seen["after"] = text_calls.embed(client.describe_index(name))
    text_calls.upsert_records(index, "__default__", [{"_id": "text", "chunk": "A cat sleeps on the sofa."}])
    seen["found"] = [id for id, _, _ in found(index, "__default__", {"inputs": {"text": "a pet"}}, top_k=10)]
    client.configure_index(name, embed={"field_map": {"text": "body"}, "read_parameters": {"truncate": "NONE"}})
    seen["changed"] = text_calls.embed(client.describe_index(name))
    seen["other_model"] = text_calls.refusal(
        client.configure_index, name, embed={"model": "llama-text-embed-v2", "field_map": {"text": "body"}}
    )
    return seen


def reconfigured() -> dict[str, Any]:
    """Parameters of an index that has a model, as 10 asks for them."""
    client, name = rest_client(), f"{PREFIX}-strict"
    field = {"type": "semantic_text", "read_parameters": {"truncate": "END"}}
    client.indexes.configure(name, schema={"fields": {"source_text": field}})
    return {"changed": text_calls.embed(client.describe_index(name))}


def refusals(index: Any) -> dict[str, Any]:
    """Requests that are refused, and what the client makes of the refusal. Nothing of them is written."""
    strict, plain_index = open_named("strict"), create_plain("plain")
    rerank = {"model": SCENARIO["reranker"], "rank_fields": ["source_text"]}
    good = {"_id": "good", "source_text": "A cat sleeps on the sofa."}

    def upsert(*records: dict[str, Any], into: Any = index) -> Any:
        return text_calls.refusal(text_calls.upsert_records, into, "refused", [good, *records])

    def search(body: dict[str, Any], within: Any = index, **query: Any) -> Any:
        wanted = {"query": {"top_k": 3, **(query or {"inputs": {"text": "apple"}})}, **body}
        return text_calls.refusal(text_calls.search, within, NAMESPACE, wanted)

    def index_for(**embed: Any) -> Any:
        fields = {"model": SCENARIO["dense_model"], "field_map": {"text": "source_text"}}
        return text_calls.refusal(
            rest_client().create_index_for_model, name=f"{PREFIX}-refused", embed=fields | embed, **AWS
        )

    seen = {
        "missing_text": upsert({"_id": "a", "category": "x"}),
        "text_is_a_number": upsert({"_id": "a", "source_text": 5}),
        "empty_text": upsert({"_id": "a", "source_text": ""}),
        "object_as_field": upsert({"_id": "a", "source_text": "text", "place": {"city": "Bern"}}),
        "too_many": upsert(*[{"_id": str(number), "source_text": "text"} for number in range(96)]),
        "plain_index": upsert(into=plain_index),
        "plain_search": search({}, within=plain_index),
        "wrong_dimension": text_calls.refusal(index.upsert, vectors=[("a", [1.0, 2.0, 3.0])], namespace="refused"),
        "wrong_query_dimension": search({}, vector={"values": [1.0, 2.0, 3.0]}),
        "text_and_id": search({}, inputs={"text": "apple"}, id="rec1"),
        "terms_on_dense": search({}, inputs={"text": "apple"}, match_terms={"strategy": "all", "terms": ["apple"]}),
        "too_long_text": upsert({"_id": "a", "source_text": LONG}, into=strict),
        "too_long_query": search({}, within=strict, inputs={"text": LONG}),
        "rank_field": search({"rerank": rerank | {"rank_fields": ["nothing"]}}),
        "two_rank_fields": search({"rerank": rerank | {"rank_fields": ["source_text", "category"]}}),
        "rerank_without_query": search({"rerank": rerank}, id="rec1"),
        "reranker": search({"rerank": rerank | {"model": "no-such-model"}}),
        "filter": search({}, inputs={"text": "apple"}, filter={"category": {"$like": "x"}}),
        "model": index_for(model="text-embedding-ada-002"),
        "model_reranks": index_for(model=SCENARIO["reranker"]),
        "field_map": index_for(field_map={"text_field": "source_text"}),
        "metric": index_for(metric="dotproduct"),
        "same_name": text_calls.refusal(create, "dense", SCENARIO["dense_model"]),
    }
    written = plain.counts(index.describe_index_stats()) | plain.counts(strict.describe_index_stats())
    seen["nothing_was_written"] = written.get("refused", 0)
    return seen


def main() -> None:
    """Run every part that this generation of the client can express."""
    seen: dict[str, Any] = {"definitions": definitions()}
    dense = open_named("dense")
    seen["dense"] = searches(dense, SCENARIO["dense_searches"])
    seen["sparse"] = searches(open_named("sparse"), SCENARIO["sparse_searches"])
    seen["life"] = life(dense)
    seen["namespaces"] = namespaces(dense)
    seen["refusals"] = refusals(dense)
    if VERSION >= (8,):
        seen["fresh"] = fresh(dense)
    if (7,) <= VERSION < (10,):
        seen["configured"] = configured()
    if VERSION >= (10,):
        seen["reconfigured"] = reconfigured()
    print(json.dumps(seen))


main()
