"""Integrated embedding over HTTP: created by one body in all versions, configured by two, shown in both shapes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import (
    InvalidArgumentError,
    NotFoundError,
    PinyonError,
    UnavailableError,
    UnimplementedError,
    UnprocessableError,
)
from pinyon.wire.api_version import ApiVersion
from tests.unit.service.fake_models import RERANKER
from tests.unit.wire.rest.test_control_plane import OLD_DOCS, SHAPE, TAGS, Server, objects, without

EMBED: dict[str, Any] = {"model": "multilingual-e5-large", "field_map": {"text": "body"}}
FOR_MODEL: dict[str, Any] = {"name": "docs", "cloud": "aws", "region": "us-east-1", "embed": EMBED}
READ = {"input_type": "query", "truncate": "END"}
WRITE = {"input_type": "passage", "truncate": "END"}
E5_INDEX = OLD_DOCS | {"dimension": 1024}


def embedding(**changes: object) -> dict[str, Any]:
    """The body of create-for-model with something else in `embed`."""
    return FOR_MODEL | {"embed": EMBED | changes}


@pytest.fixture
def server() -> Server:
    return Server()


def create(server: Server, body: dict[str, Any] = FOR_MODEL, version: str | None = "2025-10") -> Any:
    status, created = server.send("POST", "/indexes/create-for-model", body, version)
    assert status == 201
    return created


@pytest.mark.parametrize("version", [version.value for version in ApiVersion] + [None, "unstable"])
def test_every_version_creates_the_same_index_and_shows_it_in_its_own_shape(
    server: Server, version: str | None
) -> None:
    created = create(server, version=version)
    assert server.send("GET", "/indexes/docs", version=version) == (200, created)
    assert server.send("GET", "/indexes", version=version) == (200, {"indexes": [created]})
    shown = server.send("GET", "/indexes/docs", version="2025-01")[1]
    assert (shown["dimension"], shown["metric"], shown["vector_type"]) == (1024, "cosine", "dense")
    assert shown["spec"] == {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    assert shown["embed"] == EMBED | {
        "dimension": 1024,
        "metric": "cosine",
        "vector_type": "dense",
        "read_parameters": READ,
        "write_parameters": WRITE,
    }
    field = server.send("GET", "/indexes/docs", version="2026-07")[1]["schema"]["fields"]["body"]
    assert (field["type"], field["model"], field["read_parameters"]) == ("semantic_text", EMBED["model"], READ)


def test_what_is_asked_for_is_shown_back(server: Server) -> None:
    created = create(
        server,
        embedding(
            model="llama-text-embed-v2",
            metric="dotproduct",
            dimension=384,
            read_parameters={"truncate": "NONE"},
            write_parameters=None,
        )
        | {
            "tags": {"a": "b"},
            "deletion_protection": "enabled",
            "schema": {"fields": {"genre": {"filterable": True}}},
            "read_capacity": {"mode": "OnDemand"},
        },
    )
    assert (created["dimension"], created["metric"]) == (384, "dotproduct")
    assert (created["tags"], created["deletion_protection"]) == ({"a": "b"}, "enabled")
    assert created["spec"]["serverless"]["schema"] == {"fields": {"genre": {"filterable": True}}}
    assert created["embed"]["read_parameters"] == {"input_type": "query", "truncate": "NONE", "dimension": 384}
    assert created["embed"]["write_parameters"] == {"input_type": "passage", "truncate": "END", "dimension": 384}


def test_a_sparse_model_makes_a_sparse_index(server: Server) -> None:
    created = create(server, embedding(model="pinecone-sparse-english-v0"))
    assert (created["vector_type"], created["metric"]) == ("sparse", "dotproduct")
    assert "dimension" not in created


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (without(FOR_MODEL, "name"), "missing field `name`"),
        (without(FOR_MODEL, "cloud"), "missing field `cloud`"),
        (without(FOR_MODEL, "region"), "missing field `region`"),
        (without(FOR_MODEL, "embed"), "missing field `embed`"),
        (FOR_MODEL | {"embed": without(EMBED, "model")}, "embed: missing field `model`"),
        (FOR_MODEL | {"embed": without(EMBED, "field_map")}, "embed: missing field `field_map`"),
        (FOR_MODEL | {"spec": {}}, "unknown field `spec`"),
        (embedding(vector_type="dense"), "embed: unknown field `vector_type`"),
        (embedding(metric="invalid-metric"), "embed.metric: unknown variant `invalid-metric`"),
        (embedding(field_map={"text": 1}), "embed.field_map[...]: Expected `str`, got `int`"),
        (embedding(read_parameters=[]), "embed.read_parameters: Expected `object | null`, got `array`"),
        (FOR_MODEL | {"schema": {"genre": {"filterable": True}}}, "schema: unknown field `genre`"),
    ],
)
@pytest.mark.parametrize("version", ["2025-01", "2026-07"])
def test_a_body_of_another_shape_is_unprocessable(
    server: Server, version: str, body: dict[str, Any], text: str
) -> None:
    with pytest.raises(UnprocessableError) as caught:
        server.send("POST", "/indexes/create-for-model", body, version)
    assert caught.value.message == SHAPE + text
    assert server.control_plane.list_indexes() == []


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (embedding(model="invalid-model"), InvalidArgumentError, "^Model invalid-model not found. Supported models: "),
        (embedding(model=RERANKER), InvalidArgumentError, "does not support embedding"),
        (embedding(field_map={"invalid_field": "body"}), InvalidArgumentError, "Missing required key 'text'"),
        (embedding(dimension=512), InvalidArgumentError, "dimension=512"),
        (embedding(metric="dotproduct"), InvalidArgumentError, "metric='dotproduct'"),
        (embedding(read_parameters={"truncate": "MIDDLE"}), InvalidArgumentError, "truncate='MIDDLE'"),
        (embedding(write_parameters={"x": {}}), InvalidArgumentError, "Unsupported parameter 'x'"),
        (FOR_MODEL | {"region": "moon"}, NotFoundError, "Resource cloud: aws region: moon not found"),
        (FOR_MODEL | {"name": "Docs"}, InvalidArgumentError, "lower case"),
        (
            FOR_MODEL | {"schema": {"fields": {"genre": {"filterable": False}}}},
            InvalidArgumentError,
            "Only filterable: true is supported",
        ),
        (FOR_MODEL | {"read_capacity": {"mode": "Dedicated"}}, UnimplementedError, "Dedicated read capacity"),
    ],
)
def test_an_index_that_cannot_be_is_not_created(
    server: Server, body: dict[str, Any], error: type[PinyonError], text: str
) -> None:
    with pytest.raises(error, match=text):
        server.send("POST", "/indexes/create-for-model", body)
    assert server.control_plane.list_indexes() == []


def test_a_model_that_cannot_be_loaded_creates_nothing(server: Server) -> None:
    def load() -> None:
        raise UnavailableError("install pinyon[minilm]")

    server.models.load = load
    with pytest.raises(UnavailableError, match="install"):
        server.send("POST", "/indexes/create-for-model", FOR_MODEL)
    assert server.control_plane.list_indexes() == []


@pytest.mark.parametrize("version", ["2025-01", "2026-04"])
def test_a_plain_index_becomes_an_integrated_one(server: Server, version: str) -> None:
    plain = server.send("POST", "/indexes", E5_INDEX, version)[1]
    assert "embed" not in plain
    status, configured = server.send("PATCH", "/indexes/docs", {"embed": EMBED}, version)
    assert status == 202
    assert configured.pop("embed")["read_parameters"] == READ
    assert configured == plain


def test_the_text_field_and_parameters_of_an_integrated_index_change(server: Server) -> None:
    create(server)
    changes = {"field_map": {"text": "title"}, "read_parameters": {"truncate": "NONE"}, "write_parameters": None}
    shown = server.send("PATCH", "/indexes/docs", {"embed": changes})[1]["embed"]
    assert (shown["field_map"], shown["write_parameters"]) == ({"text": "title"}, WRITE)
    assert shown["read_parameters"] == {"input_type": "query", "truncate": "NONE"}


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": "multilingual-e5-large"}])
def test_2026_07_changes_parameters_by_the_name_of_the_field(server: Server, model: dict[str, Any]) -> None:
    create(server)
    field = {"type": "semantic_text", "write_parameters": {"truncate": "NONE"}, **model}
    status, shown = server.send("PATCH", "/indexes/docs", {"schema": {"fields": {"body": field}}}, "2026-07")
    assert status == 202
    changed = shown["schema"]["fields"]["body"]
    assert changed["read_parameters"] == READ
    assert changed["write_parameters"] == {"input_type": "passage", "truncate": "NONE"}


TEXT = {"type": "semantic_text", "read_parameters": {"truncate": "NONE"}}


@pytest.mark.parametrize(
    ("version", "body", "error", "text"),
    [
        ("2025-10", {"embed": {"model": "llama-text-embed-v2"}}, InvalidArgumentError, "cannot be changed once"),
        ("2025-10", {"embed": {"field_map": {}}}, InvalidArgumentError, "Missing required key 'text'"),
        ("2025-10", {"embed": {"read_parameters": {"x": 1}}}, InvalidArgumentError, "Unsupported parameter 'x'"),
        ("2025-10", {"embed": {"dimension": 1024}}, UnprocessableError, "embed: unknown field `dimension`"),
        ("2026-07", {"schema": {"fields": {"title": TEXT}}}, InvalidArgumentError, "'title' is not a semantic_text"),
        ("2026-07", {"schema": {"fields": {"_values": TEXT}}}, InvalidArgumentError, "'_values' is not a semantic_"),
        ("2026-07", {"schema": {"fields": {}}}, InvalidArgumentError, "exactly one field to change, and has 0"),
        (
            "2026-07",
            {"schema": {"fields": {"body": TEXT, "title": TEXT}}},
            InvalidArgumentError,
            "exactly one field to change, and has 2",
        ),
        (
            "2026-07",
            {"schema": {"fields": {"body": TEXT | {"model": "llama-text-embed-v2"}}}},
            InvalidArgumentError,
            "cannot be changed once",
        ),
        (
            "2026-07",
            {"schema": {"fields": {"body": TEXT | {"type": "string"}}}},
            UnprocessableError,
            r"schema.fields\[...\].type: unknown variant `string`",
        ),
        (
            "2026-07",
            {"schema": {"fields": {"body": TEXT | {"metric": "cosine"}}}},
            UnprocessableError,
            "unknown field `metric`",
        ),
    ],
)
def test_a_wrong_change_changes_nothing(
    server: Server, version: str, body: dict[str, Any], error: type[PinyonError], text: str
) -> None:
    created = create(server)
    with pytest.raises(error, match=text):
        server.send("PATCH", "/indexes/docs", body | {"tags": {"a": "b"}}, version)
    assert server.send("GET", "/indexes/docs")[1] == created


def test_a_plain_index_has_no_text_field_to_change(server: Server) -> None:
    created = server.send("POST", "/indexes", E5_INDEX)[1]
    with pytest.raises(InvalidArgumentError, match="'body' is not a semantic_text field of this index"):
        server.send("PATCH", "/indexes/docs", {"schema": {"fields": {"body": TEXT}}}, "2026-07")
    assert server.send("GET", "/indexes/docs")[1] == created


PARAMETERS = objects(
    input_type=st.sampled_from(["query", "passage"]),
    truncate=st.sampled_from(["END", "NONE"]),
    dimension=st.sampled_from([384, 1024.0]),
    return_tokens=st.booleans(),
)
EMBEDS = objects(
    model=st.sampled_from(["multilingual-e5-large", "llama-text-embed-v2", "pinecone-sparse-english-v0", RERANKER]),
    field_map=objects(text=st.text()),
    metric=st.sampled_from(["cosine", "dotproduct", "euclidean"]),
    dimension=st.sampled_from([384, 1024]),
    read_parameters=PARAMETERS,
    write_parameters=PARAMETERS,
)
SEMANTIC_TEXTS = objects(type=st.just("semantic_text"), read_parameters=PARAMETERS, write_parameters=PARAMETERS)
CHANGES = objects(embed=EMBEDS) | objects(
    schema=objects(fields=st.dictionaries(st.sampled_from(["body", "x"]), SEMANTIC_TEXTS))
)


@given(
    body=objects(name=st.just("docs"), cloud=st.just("aws"), region=st.just("us-east-1"), tags=TAGS, embed=EMBEDS),
    changes=CHANGES,
    version=st.sampled_from(["2025-10", "2026-07"]),
)
def test_any_body_creates_an_index_or_raises_our_errors(body: object, changes: object, version: str) -> None:
    server = Server()
    server.send("POST", "/indexes", E5_INDEX | {"name": "plain"})
    create(server, FOR_MODEL | {"name": "texts"})
    exchanges = (
        ("POST", "/indexes/create-for-model", body),
        ("PATCH", "/indexes/plain", changes),
        ("PATCH", "/indexes/texts", changes),
    )
    for method, path, content in exchanges:
        try:
            server.send(method, path, content, version)
        except (InvalidArgumentError, UnprocessableError, NotFoundError, UnimplementedError):
            continue
    for shown_to in ApiVersion:
        assert server.send("GET", "/indexes", version=shown_to.value)[0] == 200
