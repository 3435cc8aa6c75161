"""The Inference API: `inference.py`. `TEXTS` in the environment holds what `test_inference.py` embeds and ranks.

Prints one JSON object: step -> what the client saw. The same comes from `inference.mjs`.
"""

import json
import os
from typing import Any

import plain
import text_calls
from connect import VERSION, rest_client

TEXTS = json.loads(os.environ["TEXTS"])
DENSE, SPARSE, RERANKER = TEXTS["dense_model"], TEXTS["sparse_model"], TEXTS["reranker"]
CATS = TEXTS["documents"]


def dense(inference: Any) -> dict[str, Any]:
    """Dense vectors of a list of texts, of one text, and of another dimension."""
    query = {"input_type": "query"}
    answer = inference.embed(model=DENSE, inputs=TEXTS["inputs"], parameters={"input_type": "passage"})
    wide = inference.embed(
        model="llama-text-embed-v2", inputs=["a"], parameters={"input_type": "query", "dimension": 2048}
    )
    return {
        "model": answer.model,
        "vector_type": answer.vector_type,
        "values": [plain.rounded(item.values) for item in answer.data],
        "tokens": answer.usage.total_tokens,
        "one_text": len(inference.embed(model=DENSE, inputs="one text", parameters=query).data),
        "as_objects": len(inference.embed(model=DENSE, inputs=[{"text": "a"}, {"text": "b"}], parameters=query).data),
        "dimension": len(wide.data[0].values),
    }


def sparse(inference: Any) -> dict[str, Any]:
    """Sparse vectors, with their tokens and without."""
    parameters = {"input_type": "passage", "truncate": "END"}
    answer = inference.embed(model=SPARSE, inputs=TEXTS["inputs"], parameters=parameters | {"return_tokens": True})
    bare = inference.embed(model=SPARSE, inputs=TEXTS["inputs"][:1], parameters=parameters).data[0]
    return {
        "vector_type": answer.vector_type,
        "indices": [list(item.sparse_indices) for item in answer.data],
        "values": [plain.rounded(item.sparse_values) for item in answer.data],
        "tokens": [list(item.sparse_tokens) for item in answer.data],
        "no_tokens": getattr(bare, "sparse_tokens", None),
    }


def ranked(answer: Any) -> list[list[Any]]:
    """`[index, score, document]` of each result."""
    return [[item.index, round(item.score, 4), document(getattr(item, "document", None))] for item in answer.data]


def document(shown: Any) -> dict[str, Any] | None:
    """A document as a dictionary: up to 8 it is an object of the client's own."""
    return shown if shown is None or isinstance(shown, dict) else shown.to_dict()


def rerank(inference: Any) -> dict[str, Any]:
    """Documents in order of relevance."""
    query = {"model": RERANKER, "query": TEXTS["query"]}
    strings = inference.rerank(documents=[cat["text"] for cat in CATS], **query)
    other = [{"title": cat["text"], "id": cat["id"]} for cat in CATS]
    return {
        "model": strings.model,
        "units": strings.usage.rerank_units,
        "strings": ranked(strings),
        "objects": ranked(inference.rerank(documents=CATS, **query)),
        "best": ranked(inference.rerank(documents=CATS, top_n=1, parameters={"truncate": "END"}, **query)),
        "no_documents": ranked(inference.rerank(documents=CATS, return_documents=False, **query)),
        "other_field": ranked(inference.rerank(documents=other, rank_fields=["title"], top_n=1, **query)),
    }


def models(inference: Any) -> dict[str, Any]:
    """What is told about the models."""
    return {
        "all": [name_of(info) for info in inference.list_models()],
        "dense": [name_of(info) for info in inference.list_models(vector_type="dense")],
        "sparse": [name_of(info) for info in inference.list_models(type="embed", vector_type="sparse")],
        "rerank": [name_of(info) for info in inference.list_models(type="rerank")],
        "one": shown(inference.get_model(**named(DENSE))),
    }


def named(model: str) -> dict[str, str]:
    """The argument that names a model."""
    return {"model_name" if VERSION < (9,) else "model": model}


def name_of(info: Any) -> str:
    """A model's name."""
    return info.model


def shown(info: Any) -> dict[str, Any]:
    """What is told about a dense model."""
    names = ("model", "type", "vector_type", "default_dimension", "modality", "max_sequence_length", "max_batch_size")
    lists = {name: list(getattr(info, name)) for name in ("supported_dimensions", "supported_metrics")}
    parameters = [parameter(one) for one in info.supported_parameters]
    return {name: getattr(info, name) for name in names} | lists | {"parameters": parameters}


def parameter(one: Any) -> list[Any]:
    """What is told about a parameter. In 7 and 8 the attribute `allowed_values` is something else of the client's."""
    values = one["allowed_values"] if VERSION < (9,) else one.allowed_values
    return [one.parameter, one.type, one.value_type, one.required, list(values), getattr(one, "default", None)]


def refusals(inference: Any) -> dict[str, Any]:
    """Requests that are refused."""

    def embed(inputs: Any = ("a",), model: str = DENSE, **parameters: Any) -> Any:
        given = {"input_type": "query", **parameters}
        return text_calls.refusal(inference.embed, model=model, inputs=list(inputs), parameters=given)

    def order(documents: list[Any], model: str = RERANKER, query: str = "cats", **options: Any) -> Any:
        return text_calls.refusal(inference.rerank, model=model, query=query, documents=documents, **options)

    seen = {
        "embed_model": embed(model="unknown-model"),
        "embed_with_reranker": embed(model=RERANKER),
        "embed_too_many": embed(["a"] * 97),
        "embed_empty_text": embed([""]),
        "embed_too_long": embed(["apple " * 3000], truncate="NONE"),
        "embed_value": embed(input_type="bad-parameter"),
        "embed_parameter": embed(temperature=1),
        "embed_no_input_type": text_calls.refusal(inference.embed, model=SPARSE, inputs=["a"]),
        "embed_other_key": embed([{"INVALID_FIELD": "a"}]),
        "rerank_model": order(["a"], model="unknown-model"),
        "rerank_with_embedder": order(["a"], model=DENSE),
        "rerank_field": order([{"text": "a"}], rank_fields=["custom-field"]),
        "rerank_fields": order([{"a": "a", "b": "b"}], rank_fields=["a", "b"]),
        "rerank_too_many": order(["a"] * 101),
        "rerank_too_long": order(["apple " * 3000]),
    }
    if VERSION >= (7,):
        seen["model"] = text_calls.refusal(inference.get_model, **named("no-such-model"))
    return seen


def main() -> None:
    """Run every part that this generation of the client can express."""
    inference = rest_client().inference
    seen = {"dense": dense(inference), "sparse": sparse(inference), "rerank": rerank(inference)}
    if VERSION >= (7,):
        seen["models"] = models(inference)
    seen["refusals"] = refusals(inference)
    print(json.dumps(seen))


main()
