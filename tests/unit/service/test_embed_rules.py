"""How an index may embed text, rule by rule, with the texts that clients see."""

from typing import Any

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo
from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.service.embed_rules import changed_embed, check_same, check_vectors_fit, new_embed, with_vectors_of
from pinyon.service.index_requests import CreateIndex, EmbedRequest
from tests.unit.service.fake_models import E5, LLAMA, WORDS

SERVERLESS = Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"})
BODY = {"text": "body"}
EMBED = Embed(
    model=E5.name,
    text_field="body",
    read_parameters={"input_type": "query", "truncate": "NONE"},
    write_parameters={"input_type": "passage", "truncate": "NONE"},
    fingerprint="weights-1",
    served_by="a stand-in",
)


def create(dimension: int | None = None, metric: str | None = None) -> CreateIndex:
    return CreateIndex(
        name="docs", deployment=SERVERLESS, dimension=dimension, metric=None if metric is None else Metric(metric)
    )


@pytest.mark.parametrize(
    ("info", "request_", "vectors"),
    [
        (E5, create(), ("dense", 1024, "cosine")),
        (E5, create(1024, "euclidean"), ("dense", 1024, "euclidean")),
        (LLAMA, create(384, "dotproduct"), ("dense", 384, "dotproduct")),
        (WORDS, create(), ("sparse", None, "dotproduct")),
        (WORDS, create(metric="dotproduct"), ("sparse", None, "dotproduct")),
    ],
)
def test_the_vectors_are_those_of_the_model(info: ModelInfo, request_: CreateIndex, vectors: tuple[Any, ...]) -> None:
    completed = with_vectors_of(info, request_)
    assert (completed.vector_type, completed.dimension, completed.metric) == vectors
    assert (completed.name, completed.deployment) == (request_.name, request_.deployment)


@pytest.mark.parametrize(
    ("info", "request_", "text"),
    [
        (
            E5,
            create(metric="dotproduct"),
            "Invalid parameter value metric='dotproduct' for model 'multilingual-e5-large', "
            "must be one of [cosine, euclidean]",
        ),
        (
            E5,
            create(1023),
            "Invalid parameter value dimension=1023 for model 'multilingual-e5-large', must be one of [1024]",
        ),
        (LLAMA, create(0), "dimension must be between 1 and 20000, and is 0"),
        (WORDS, create(1024), "dimension should not be specified for sparse indexes"),
        (WORDS, create(metric="cosine"), "Sparse vector indexes must use the metric dotproduct"),
    ],
)
def test_other_vectors_are_refused(info: ModelInfo, request_: CreateIndex, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        with_vectors_of(info, request_)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("info", "dimension", "read", "write"),
    [
        (E5, 1024, {"input_type": "query", "truncate": "END"}, {"input_type": "passage", "truncate": "END"}),
        (
            LLAMA,
            384,
            {"input_type": "query", "truncate": "END", "dimension": 384},
            {"input_type": "passage", "truncate": "END", "dimension": 384},
        ),
        (
            WORDS,
            None,
            {"input_type": "query", "truncate": "END", "return_tokens": False},
            {"input_type": "passage", "truncate": "END", "return_tokens": False},
        ),
    ],
)
def test_parameters_that_are_not_given_have_the_defaults_of_the_model(
    info: ModelInfo, dimension: int | None, read: dict[str, Any], write: dict[str, Any]
) -> None:
    embed = new_embed(info, EmbedRequest(field_map=BODY), dimension)
    assert embed == Embed(
        model=info.name, text_field="body", read_parameters=read, write_parameters=write, fingerprint=""
    )


def test_given_parameters_win_over_defaults() -> None:
    request = EmbedRequest(
        field_map=BODY,
        read_parameters={"truncate": "NONE", "dimension": 384},
        write_parameters={"input_type": "query"},
    )
    embed = new_embed(LLAMA, request, 384)
    assert embed.read_parameters == {"input_type": "query", "truncate": "NONE", "dimension": 384}
    assert embed.write_parameters == {"input_type": "query", "truncate": "END", "dimension": 384}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"field_map": None}, "field_map is required for an index to embed text"),
        ({"field_map": {}}, "Missing required key 'text' in field_map"),
        ({"field_map": {"invalid_field": "body"}}, "Missing required key 'text' in field_map"),
        (
            {"field_map": {"text": "body", "image": "picture"}},
            "Unsupported key 'image' in field_map, must be 'text'",
        ),
        (
            {"read_parameters": {"truncate": "START"}},
            "Invalid parameter value truncate='START' for model 'llama-text-embed-v2', must be one of [END, NONE]",
        ),
        (
            {"write_parameters": {"max": 1}},
            "Unsupported parameter 'max' for model 'llama-text-embed-v2', "
            "must be one of [input_type, truncate, dimension]",
        ),
        (
            {"write_parameters": {"dimension": 384}},
            "Invalid parameter value dimension=384 for model 'llama-text-embed-v2', "
            "must be the dimension of the index, 1024",
        ),
    ],
)
def test_embeddings_that_break_a_rule(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        new_embed(LLAMA, EmbedRequest(**({"field_map": BODY} | changes)), 1024)
    assert caught.value.message == text


@pytest.mark.parametrize("name", ["", "id", "_id", "_values", "$body"])
def test_names_that_cannot_hold_a_text(name: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        new_embed(E5, EmbedRequest(field_map={"text": name}), 1024)
    assert caught.value.message == f"Field '{name}' in field_map must not be empty or 'id', or start with '$' or '_'"


@pytest.mark.parametrize("name", ["text", "chunk_text", "my-sample-text", "ids", "é", "a b"])
def test_names_that_hold_a_text(name: str) -> None:
    assert new_embed(E5, EmbedRequest(field_map={"text": name}), 1024).text_field == name


def definition(dimension: int | None, metric: str, vector_type: str = "dense") -> IndexDefinition:
    return IndexDefinition(
        name="docs",
        index_id="0123",
        vector_type=VectorType(vector_type),
        dimension=dimension,
        metric=Metric(metric),
        deployment=SERVERLESS,
    )


@pytest.mark.parametrize(
    ("info", "index", "fact"),
    [
        (E5, definition(1024, "cosine"), None),
        (E5, definition(1024, "euclidean"), None),
        (LLAMA, definition(384, "dotproduct"), None),
        (WORDS, definition(None, "dotproduct", "sparse"), None),
        (E5, definition(1023, "cosine"), "dimension is 1023, and must be one of [1024]"),
        (E5, definition(1024, "dotproduct"), "metric is dotproduct, and must be one of [cosine, euclidean]"),
        (E5, definition(None, "dotproduct", "sparse"), "vector type is sparse, and must be dense"),
        (WORDS, definition(1024, "dotproduct"), "vector type is dense, and must be sparse"),
    ],
)
def test_an_index_that_exists_fits_the_model_or_not(info: ModelInfo, index: IndexDefinition, fact: str | None) -> None:
    if fact is None:
        check_vectors_fit(info, index)
        return
    with pytest.raises(InvalidArgumentError) as caught:
        check_vectors_fit(info, index)
    assert caught.value.message == f"Index docs does not fit model '{info.name}': its {fact}"


@pytest.mark.parametrize(
    ("request_", "changes"),
    [
        (EmbedRequest(), {}),
        (EmbedRequest(model=E5.name), {}),
        (EmbedRequest(field_map={"text": "title"}), {"text_field": "title"}),
        (EmbedRequest(read_parameters={}), {"read_parameters": {"input_type": "query", "truncate": "END"}}),
        (
            EmbedRequest(of_field="body", write_parameters={"input_type": "query"}),
            {"write_parameters": {"input_type": "query", "truncate": "END"}},
        ),
    ],
)
def test_what_is_not_named_stays(request_: EmbedRequest, changes: dict[str, Any]) -> None:
    check_same(EMBED, request_)
    changed = changed_embed(E5, EMBED, request_, 1024)
    assert {name: getattr(changed, name) for name in Embed.__struct_fields__} == {
        name: changes.get(name, getattr(EMBED, name)) for name in Embed.__struct_fields__
    }


@pytest.mark.parametrize(
    ("embed", "request_", "text"),
    [
        (
            EMBED,
            EmbedRequest(model=LLAMA.name),
            "The embedding model of an index cannot be changed once it is set: it is 'multilingual-e5-large'",
        ),
        (EMBED, EmbedRequest(of_field="title"), "Field 'title' is not a semantic_text field of this index; "),
        (None, EmbedRequest(of_field="body"), "Field 'body' is not a semantic_text field of this index; "),
    ],
)
def test_what_an_index_has_once_it_keeps(embed: Embed | None, request_: EmbedRequest, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_same(embed, request_)
    assert caught.value.message.startswith(text)


def test_an_index_without_a_model_may_get_any() -> None:
    check_same(None, EmbedRequest(model=E5.name, field_map=BODY))
