"""The control plane over HTTP: paths, statuses, both shapes in and out, and texts of errors."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    PinyonError,
    UnimplementedError,
    UnprocessableError,
)
from pinyon.inference.registry import Registry
from pinyon.model.index import IndexDefinition
from pinyon.service.control_plane import ControlPlane
from pinyon.service.inference import Inference
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.http import Request
from pinyon.wire.rest.control_plane import ControlPlaneRoutes
from tests.unit.service.fake_indexes import CountingIds, FakeClock, FakeIndexes
from tests.unit.service.fake_models import FakeModels

SHAPE = "Failed to deserialize the JSON body into the target type: "
SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
MANAGED = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
VALUES = {"type": "dense_vector", "dimension": 8, "metric": "cosine"}
OLD_DOCS: dict[str, Any] = {"name": "docs", "dimension": 8, "spec": SERVERLESS}
NEW_DOCS: dict[str, Any] = {"name": "docs", "schema": {"fields": {"_values": VALUES}}}


def host_of(definition: IndexDefinition) -> str:
    return f"http://localhost:{definition.port}"


class Server:
    """The routes over a control plane in memory."""

    def __init__(self) -> None:
        self.models = FakeModels()
        self.control_plane = ControlPlane(FakeIndexes(), self.models, FakeClock(), CountingIds())
        self._routes = ControlPlaneRoutes(self.control_plane, host_of, Inference(Registry([])))

    def send(self, method: str, path: str, body: object = None, version: str | None = "2025-10") -> tuple[int, Any]:
        """One exchange: the status, and the body as JSON (None for an empty one)."""
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        headers = {} if version is None else {"x-pinecone-api-version": version}
        response = self._routes.handle(Request(method, path, headers=headers, body=content))
        return response.status, msgspec.json.decode(response.body) if response.body else None


@pytest.fixture
def server() -> Server:
    return Server()


# Paths and statuses.


@pytest.mark.parametrize(("version", "body"), [("2025-10", OLD_DOCS), ("2026-07", NEW_DOCS)])
def test_the_life_of_an_index(server: Server, version: str, body: dict[str, Any]) -> None:
    status, created = server.send("POST", "/indexes", body, version)
    assert status == 201
    assert created["host"] == "http://localhost:5081"
    assert created["status"] == {"ready": True, "state": "Ready"}
    assert server.send("GET", "/indexes/docs", version=version) == (200, created)
    assert server.send("GET", "/indexes", version=version) == (200, {"indexes": [created]})

    status, configured = server.send("PATCH", "/indexes/docs", {"tags": {"a": "b"}}, version)
    assert (status, configured) == (202, created | {"tags": {"a": "b"}})
    assert server.send("DELETE", "/indexes/docs", version=version) == (202, None)
    assert server.send("GET", "/indexes", version=version) == (200, {"indexes": []})


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_index_is_not_found(server: Server, method: str) -> None:
    with pytest.raises(NotFoundError, match=r"^Resource a/b not found$"):
        server.send(method, "/indexes/a%2Fb", {})


@pytest.mark.parametrize(
    "path", ["/", "", "/index", "/indexes//a", "/indexes/a/b", "/indexes/a/b/c", "/vectors/upsert"]
)
def test_an_unknown_path_is_not_found(server: Server, path: str) -> None:
    with pytest.raises(NotFoundError, match=rf"^Resource {path} not found$"):
        server.send("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/indexes", "GET, POST"),
        ("DELETE", "/indexes", "GET, POST"),
        ("POST", "/indexes/docs", "GET, PATCH, DELETE"),
        ("PUT", "/indexes/docs", "GET, PATCH, DELETE"),
    ],
)
def test_a_wrong_method_is_not_allowed(server: Server, method: str, path: str, allowed: str) -> None:
    status, body = server.send(method, path)
    assert status == 405
    assert body["status"] == 405
    assert body["error"]["message"] == f"{method} is not allowed for {path}, only {allowed}"


@pytest.mark.parametrize(
    ("method", "path", "feature"),
    [
        ("GET", "/collections", "Collections"),
        ("DELETE", "/collections/mine", "Collections"),
        ("POST", "/indexes/docs/backups", "Backups"),
        ("POST", "/backups/1/create-index", "Backups"),
        ("GET", "/restore-jobs", "Restore jobs"),
        ("GET", "/indexes/docs/backup-schedules", "Backup schedules"),
        ("GET", "/backup-schedules/1/history", "Backup schedules"),
        ("GET", "/admin/projects", "admin"),
        ("GET", "/assistant/assistants", "assistant"),
    ],
)
def test_what_is_not_built_is_named(server: Server, method: str, path: str, feature: str) -> None:
    with pytest.raises(UnimplementedError, match=feature):
        server.send(method, path, {})


def test_an_index_may_be_called_like_an_operation(server: Server) -> None:
    server.send("POST", "/indexes", OLD_DOCS | {"name": "create-for-model"})
    assert server.send("GET", "/indexes/create-for-model")[0] == 200


# What one version creates, every version shows.


CREATIONS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "oldest": (None, {"name": "docs", "dimension": 8, "metric": "cosine", "spec": SERVERLESS}),
    "2025-10": ("2025-10", OLD_DOCS | {"vector_type": "dense", "tags": {}, "deletion_protection": "disabled"}),
    "2026-04 with nulls": ("2026-04", OLD_DOCS | {"metric": None, "tags": None, "vector_type": None}),
    "unstable": ("unstable", OLD_DOCS | {"spec": {"serverless": SERVERLESS["serverless"], "pod": None}}),
    "2026-07": ("2026-07", NEW_DOCS | {"deployment": MANAGED, "read_capacity": {"mode": "OnDemand"}}),
    "2026-07 default deployment": ("2026-07", NEW_DOCS),
    "2026-07 default metric": (
        "2026-07",
        {"name": "docs", "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 8, "metric": None}}}},
    ),
}


@pytest.mark.parametrize("creation", CREATIONS)
def test_a_dense_index_looks_the_same_whichever_version_created_it(server: Server, creation: str) -> None:
    version, body = CREATIONS[creation]
    server.send("POST", "/indexes", body, version)
    assert server.send("GET", "/indexes/docs", version="2025-01")[1] == {
        "name": "docs",
        "dimension": 8,
        "metric": "cosine",
        "vector_type": "dense",
        "host": "http://localhost:5081",
        "spec": SERVERLESS,
        "status": {"ready": True, "state": "Ready"},
        "deletion_protection": "disabled",
    }
    newest = server.send("GET", "/indexes/docs", version="2026-07")[1]
    assert newest["schema"]["fields"]["_values"] == VALUES | {"description": None}
    assert newest["deployment"] == MANAGED


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2025-01", {"name": "words", "vector_type": "sparse", "metric": "dotproduct", "spec": SERVERLESS}),
        ("2025-01", {"name": "words", "vector_type": "sparse", "spec": SERVERLESS}),
        ("2026-07", {"name": "words", "schema": {"fields": {"_sparse_values": {"type": "sparse_vector"}}}}),
    ],
)
def test_a_sparse_index_looks_the_same_whichever_version_created_it(
    server: Server, version: str, body: dict[str, Any]
) -> None:
    server.send("POST", "/indexes", body, version)
    older = server.send("GET", "/indexes/words", version="2025-01")[1]
    assert (older["metric"], older["vector_type"], "dimension" in older) == ("dotproduct", "sparse", False)
    newest = server.send("GET", "/indexes/words", version="2026-07")[1]
    assert newest["schema"]["fields"] == {"_sparse_values": {"type": "sparse_vector", "description": None}}


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (
            "2024-07",
            OLD_DOCS | {"spec": {"pod": {"environment": "us-east1-gcp", "pod_type": "s1.x2", "replicas": 2}}},
        ),
        (
            "2026-07",
            NEW_DOCS
            | {
                "deployment": {
                    "deployment_type": "pod",
                    "environment": "us-east1-gcp",
                    "pod_type": "s1.x2",
                    "replicas": 2,
                    "shards": 1,
                }
            },
        ),
    ],
)
def test_a_pod_index_looks_the_same_whichever_version_created_it(
    server: Server, version: str, body: dict[str, Any]
) -> None:
    server.send("POST", "/indexes", body, version)
    pod = {"environment": "us-east1-gcp", "pod_type": "s1.x2", "replicas": 2, "shards": 1}
    assert server.send("GET", "/indexes/docs")[1]["spec"] == {"pod": pod | {"pods": 2}}
    newest = server.send("GET", "/indexes/docs", version="2026-07")[1]
    assert newest["deployment"] == {"deployment_type": "pod", **pod}


def test_pod_defaults_and_indexed_metadata(server: Server) -> None:
    spec = {"pod": {"environment": "e", "pod_type": None, "metadata_config": {"indexed": ["genre", "year", "genre"]}}}
    shown = server.send("POST", "/indexes", OLD_DOCS | {"spec": spec})[1]["spec"]["pod"]
    assert shown == {
        "environment": "e",
        "pod_type": "p1.x1",
        "replicas": 1,
        "shards": 1,
        "pods": 1,
        "metadata_config": {"indexed": ["genre", "year"]},
    }


def test_a_metadata_schema_is_shown_back(server: Server) -> None:
    schema = {"fields": {"genre": {"filterable": True}}}
    spec = {"serverless": {"cloud": "gcp", "region": "us-central1", "schema": schema}}
    assert server.send("POST", "/indexes", OLD_DOCS | {"spec": spec})[1]["spec"]["serverless"]["schema"] == schema
    newest = server.send("GET", "/indexes/docs", version="2026-07")[1]
    assert newest["schema"]["fields"]["genre"] == {"filterable": True}


def test_2026_07_names_an_index_that_has_no_name(server: Server) -> None:
    name = server.send("POST", "/indexes", {"schema": NEW_DOCS["schema"]}, "2026-07")[1]["name"]
    assert server.send("GET", f"/indexes/{name}")[0] == 200


# Configuring.


def test_deletion_protection_is_switched_on_and_off(server: Server) -> None:
    server.send("POST", "/indexes", OLD_DOCS | {"deletion_protection": "enabled"})
    with pytest.raises(PermissionDeniedError, match="Deletion protection is enabled for this index"):
        server.send("DELETE", "/indexes/docs")
    status, shown = server.send("PATCH", "/indexes/docs", {"deletion_protection": "disabled"}, "2026-07")
    assert (status, shown["deletion_protection"]) == (202, "disabled")
    assert server.send("DELETE", "/indexes/docs") == (202, None)


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2024-07", {"spec": {"pod": {"replicas": 3, "pod_type": "p1.x2"}}, "deletion_protection": "disabled"}),
        ("2026-07", {"deployment": {"replicas": 3, "pod_type": "p1.x2"}}),
    ],
)
def test_pods_are_configured_in_either_shape(server: Server, version: str, body: dict[str, Any]) -> None:
    server.send("POST", "/indexes", OLD_DOCS | {"spec": {"pod": {"environment": "e", "shards": 2}}})
    assert server.send("PATCH", "/indexes/docs", body, version)[0] == 202
    assert server.send("GET", "/indexes/docs")[1]["spec"]["pod"] == {
        "environment": "e",
        "pod_type": "p1.x2",
        "replicas": 3,
        "shards": 2,
        "pods": 6,
    }


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2025-10", {}),
        ("2026-07", {}),
        ("2025-10", {"spec": {"serverless": {"read_capacity": {"mode": "OnDemand"}}}}),
        ("2025-10", {"spec": {"byoc": {"read_capacity": {"mode": "OnDemand"}}}}),
        ("2026-07", {"read_capacity": {"mode": "OnDemand"}, "tags": None}),
    ],
)
def test_a_configuration_that_asks_for_what_is_changes_nothing(
    server: Server, version: str, body: dict[str, Any]
) -> None:
    created = server.send("POST", "/indexes", OLD_DOCS)[1]
    assert server.send("PATCH", "/indexes/docs", body, version)[0] == 202
    assert server.send("GET", "/indexes/docs")[1] == created


DEDICATED = {"mode": "Dedicated", "dedicated": {"node_type": "b1", "scaling": "Manual"}}


@pytest.mark.parametrize(
    ("version", "body", "error", "text"),
    [
        ("2025-10", {"embed": {"model": "multilingual-e5-large"}}, InvalidArgumentError, "dimension is 8"),
        ("2025-10", {"embed": {"metric": "cosine"}}, UnprocessableError, "embed: unknown field `metric`"),
        ("2025-10", {"schema": {"fields": {}}}, UnprocessableError, "unknown field `schema`"),
        ("2025-10", {"spec": {"serverless": {"read_capacity": DEDICATED}}}, UnimplementedError, "Dedicated read cap"),
        ("2025-10", {"spec": {"byoc": {"read_capacity": DEDICATED}}}, UnimplementedError, "Dedicated read capacity"),
        ("2025-10", {"spec": {"pod": {"replicas": 2}}}, InvalidArgumentError, "replicas cannot be set in a serverless"),
        ("2025-10", {"metric": "cosine"}, UnprocessableError, "unknown field `metric`"),
        ("2025-10", {"spec": {"pod": {"shards": 2}}}, UnprocessableError, "spec.pod: unknown field `shards`"),
        ("2025-10", {"deletion_protection": True}, UnprocessableError, "deletion_protection: Expected"),
        ("2025-10", {"tags": {"a": 1}}, UnprocessableError, "tags"),
        ("2026-07", {"embed": {"model": "multilingual-e5-large"}}, UnprocessableError, "unknown field `embed`"),
        ("2026-07", {"schema": {"fields": {"text": {}}}}, UnprocessableError, "missing field `type`"),
        ("2026-07", {"read_capacity": {"dedicated": {}}}, UnimplementedError, "Dedicated read capacity"),
        ("2026-07", {"deployment": {"replicas": 2}}, InvalidArgumentError, "replicas cannot be set in a serverless"),
        ("2026-07", {"spec": {}}, UnprocessableError, "unknown field `spec`"),
        ("2026-07", {"deployment": {"deployment_type": "pod"}}, UnprocessableError, "unknown field `deployment_type`"),
        ("2026-07", {"deletion_protection": "on"}, UnprocessableError, "deletion_protection: unknown variant `on`"),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    server: Server, version: str, body: dict[str, Any], error: type[PinyonError], text: str
) -> None:
    created = server.send("POST", "/indexes", OLD_DOCS)[1]
    with pytest.raises(error, match=text):
        server.send("PATCH", "/indexes/docs", body, version)
    assert server.send("GET", "/indexes/docs")[1] == created


# Creating what cannot be.


def without(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != key}


def serverless_with(**options: object) -> dict[str, Any]:
    return OLD_DOCS | {"spec": {"serverless": {**SERVERLESS["serverless"], **options}}}


@pytest.mark.parametrize(
    ("version", "body", "text"),
    [
        ("2025-10", without(OLD_DOCS, "name"), "missing field `name`"),
        ("2025-10", without(OLD_DOCS, "spec"), "missing field `spec`"),
        ("2025-10", OLD_DOCS | {"colour": 1}, "unknown field `colour`"),
        ("2025-10", OLD_DOCS | {"metric": "l2"}, "metric: unknown variant `l2`"),
        ("2025-10", OLD_DOCS | {"vector_type": "binary"}, "vector_type: unknown variant `binary`"),
        ("2025-10", OLD_DOCS | {"deletion_protection": "on"}, "deletion_protection: unknown variant `on`"),
        ("2025-10", OLD_DOCS | {"dimension": "8"}, "dimension: Expected `int | null`, got `str`"),
        ("2025-10", OLD_DOCS | {"dimension": 8.5}, "dimension: Expected `int | null`, got `float`"),
        ("2025-10", OLD_DOCS | {"name": 8}, "name: Expected `str`, got `int`"),
        ("2025-10", OLD_DOCS | {"spec": {}}, "spec: expected exactly one of `serverless`, `pod`, `byoc`"),
        (
            "2025-10",
            OLD_DOCS | {"spec": SERVERLESS | {"byoc": {"environment": "e"}}},
            "spec: expected exactly one of `serverless`, `pod`, `byoc`",
        ),
        ("2025-10", OLD_DOCS | {"spec": {"serverless": {"cloud": "aws"}}}, "spec.serverless: missing field `region`"),
        ("2025-10", serverless_with(zone="a"), "spec.serverless: unknown field `zone`"),
        (
            "2025-10",
            serverless_with(read_capacity={"mode": "Fast"}),
            "spec.serverless.read_capacity.mode: unknown variant `Fast`",
        ),
        ("2025-10", OLD_DOCS | {"spec": {"pod": {"pod_type": "p1.x1"}}}, "spec.pod: missing field `environment`"),
        ("2025-10", NEW_DOCS, "unknown field `schema`"),
        ("2026-01.alpha", NEW_DOCS, "unknown field `schema`"),
        ("2026-07", without(NEW_DOCS, "schema"), "missing field `schema`"),
        ("2026-07", NEW_DOCS | {"schema": {}}, "schema: missing field `fields`"),
        ("2026-07", NEW_DOCS | {"schema": {"fields": {}, "version": 1}}, "schema: unknown field `version`"),
        ("2026-07", NEW_DOCS | {"dimension": 8}, "unknown field `dimension`"),
        ("2026-07", NEW_DOCS | {"deployment": {"cloud": "aws"}}, "deployment: missing field `deployment_type`"),
        (
            "2026-07",
            NEW_DOCS | {"deployment": {"deployment_type": "lease"}},
            "deployment.deployment_type: unknown variant `lease`",
        ),
        (
            "2026-07",
            NEW_DOCS | {"deployment": {"deployment_type": "pod", "environment": "e", "pod_type": "p1.x1"}},
            "deployment: missing field `replicas`",
        ),
        (
            "2026-07",
            NEW_DOCS | {"schema": {"fields": {"title": {"type": "string"}}}},
            "schema.fields.title: missing field `full_text_search`",
        ),
        ("2025-10", [], "Expected `object`, got `array`"),
        ("2025-10", b"null", "Expected `object`, got `null`"),
    ],
)
def test_a_body_of_another_shape_is_unprocessable(server: Server, version: str, body: object, text: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        server.send("POST", "/indexes", body, version)
    assert caught.value.message == SHAPE + text
    assert server.control_plane.list_indexes() == []


@pytest.mark.parametrize(
    ("version", "body", "error", "text"),
    [
        ("2025-10", without(OLD_DOCS, "dimension"), InvalidArgumentError, "dimension must be specified"),
        ("2025-10", OLD_DOCS | {"dimension": 10**30}, InvalidArgumentError, "dimension must be between 1 and 20000"),
        ("2025-10", OLD_DOCS | {"name": "Docs"}, InvalidArgumentError, "Name must consist of lower case"),
        (
            "2025-10",
            OLD_DOCS | {"vector_type": "sparse"},
            InvalidArgumentError,
            "dimension should not be specified for sparse indexes",
        ),
        (
            "2025-10",
            serverless_with(schema={"fields": {"x": {"filterable": False}}}),
            InvalidArgumentError,
            r"Field 'x' is set to filterable: false\. Only filterable: true is supported\.",
        ),
        ("2025-10", serverless_with(region="moon"), NotFoundError, "^Resource cloud: aws region: moon not found$"),
        ("2025-10", serverless_with(source_collection="c"), UnimplementedError, "from a collection"),
        ("2025-10", serverless_with(read_capacity=DEDICATED), UnimplementedError, "Dedicated read capacity"),
        (
            "2025-10",
            OLD_DOCS | {"spec": {"pod": {"environment": "e", "source_collection": "c"}}},
            UnimplementedError,
            "from a collection",
        ),
        (
            "2026-07",
            NEW_DOCS | {"source_collection": "c"},
            InvalidArgumentError,
            "^Creating an index from collection or backup is not yet supported$",
        ),
        (
            "2026-07",
            NEW_DOCS | {"source_backup_id": "b"},
            InvalidArgumentError,
            "^Creating an index from collection or backup is not yet supported$",
        ),
        ("2026-07", NEW_DOCS | {"cmek_id": "k"}, UnimplementedError, "encryption keys"),
        ("2026-07", NEW_DOCS | {"read_capacity": DEDICATED}, UnimplementedError, "Dedicated read capacity"),
        (
            "2026-07",
            NEW_DOCS | {"schema": {"fields": {"title": {"type": "string", "full_text_search": {}}}}},
            UnimplementedError,
            "document schema",
        ),
        (
            "2026-07",
            NEW_DOCS | {"deployment": MANAGED | {"cloud": "oci"}},
            NotFoundError,
            "^Resource cloud: oci region: us-east-1 not found$",
        ),
    ],
)
def test_an_index_that_cannot_be_is_not_created(
    server: Server, version: str, body: object, error: type[PinyonError], text: str
) -> None:
    with pytest.raises(error, match=text):
        server.send("POST", "/indexes", body, version)
    assert server.control_plane.list_indexes() == []


def test_a_taken_name_is_refused_in_both_shapes(server: Server) -> None:
    server.send("POST", "/indexes", OLD_DOCS)
    for version, body in (("2025-10", OLD_DOCS), ("2026-07", NEW_DOCS)):
        with pytest.raises(AlreadyExistsError, match=r"^Resource already exists$"):
            server.send("POST", "/indexes", body, version)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"tags":{}', b"name=docs", b'{"tags":{"\xff":""}}', b'{"tags":{"\\ud800":""}}', b"\xef\xbb\xbf{}"],
    ids=["empty", "brace", "torn", "form", "not utf-8", "half a surrogate", "byte order mark"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/indexes"), ("PATCH", "/indexes/docs")])
def test_a_body_that_is_no_json_is_refused(server: Server, method: str, path: str, body: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Failed to parse the request body as JSON: "):
        server.send(method, path, body)


@pytest.mark.parametrize(
    ("method", "path", "start"),
    [
        ("POST", "/indexes", b'{"schema":{"fields":{"f":{"type":'),
        ("PATCH", "/indexes/docs", b'{"read_capacity":{"dedicated":'),
    ],
)
def test_a_body_that_is_too_deep_is_refused(server: Server, method: str, path: str, start: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Failed to parse the request body as JSON: "):
        server.send(method, path, start + b"[" * 100_000, "2026-07")


# Whatever arrives, only our errors leave, and what is created can be shown.


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSONS = st.recursive(SCALARS, lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=8)


def loosely(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, sometimes anything."""
    return st.one_of(right, right, right, JSONS)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with any of the fields."""
    return loosely(st.fixed_dictionaries({}, optional={name: loosely(value) for name, value in fields.items()}))


READ_CAPACITIES = objects(mode=st.sampled_from(["OnDemand", "Dedicated"]))
FILTERABLES = objects(fields=st.dictionaries(st.text(max_size=3), objects(filterable=st.booleans())))
TAGS = st.dictionaries(st.text(max_size=3), st.text(max_size=3))
SHARED = {
    "name": st.sampled_from(["docs", "Docs", ""]),
    "tags": TAGS,
    "deletion_protection": st.sampled_from(["enabled", "disabled"]),
}
COUNTS = st.integers(-1, 3)
SPECS = objects(
    serverless=objects(
        cloud=st.just("aws"), region=st.just("us-east-1"), read_capacity=READ_CAPACITIES, schema=FILTERABLES
    ),
    pod=objects(environment=st.just("e"), pod_type=st.just("p1.x1"), replicas=COUNTS, shards=COUNTS, pods=COUNTS),
    byoc=objects(environment=st.just("e"), schema=FILTERABLES),
)
OLD_BODIES = objects(
    **SHARED,
    spec=SPECS,
    dimension=st.integers(0, 20_001),
    metric=st.sampled_from(["cosine", "dotproduct", "euclidean"]),
    vector_type=st.sampled_from(["dense", "sparse"]),
)
FIELDS = objects(
    type=st.sampled_from(["dense_vector", "sparse_vector", "string", "float", "semantic_text"]),
    dimension=st.integers(0, 20_001),
    metric=st.sampled_from(["cosine", "dotproduct", "euclidean"]),
    full_text_search=objects(stemming=st.booleans(), ngram=objects(min_gram=COUNTS, max_gram=COUNTS)),
    embed=objects(model=st.text()),
    description=st.text(),
)
NEW_BODIES = objects(
    **SHARED,
    schema=objects(fields=st.dictionaries(st.sampled_from(["_values", "_sparse_values", "text", "$", "_id"]), FIELDS)),
    deployment=objects(
        deployment_type=st.sampled_from(["managed", "pod", "byoc"]),
        cloud=st.just("aws"),
        region=st.just("us-east-1"),
        environment=st.just("e"),
        pod_type=st.just("p1.x1"),
        replicas=COUNTS,
        shards=COUNTS,
    ),
    read_capacity=READ_CAPACITIES,
)


@pytest.mark.parametrize(("version", "body"), [("2025-10", OLD_DOCS), ("2026-07", NEW_DOCS)])
def test_a_tag_promises_a_recall(server: Server, version: str, body: dict[str, Any]) -> None:
    for value in ("1.5", "high"):
        with pytest.raises(InvalidArgumentError, match="'pinyon-target-recall' must be a number above 0"):
            server.send("POST", "/indexes", body | {"tags": {"pinyon-target-recall": value}}, version)
    created = server.send("POST", "/indexes", body | {"tags": {"pinyon-target-recall": "0.9"}}, version)[1]
    assert created["tags"] == {"pinyon-target-recall": "0.9"}
    with pytest.raises(InvalidArgumentError, match="'pinyon-target-recall' must be a number above 0"):
        server.send("PATCH", "/indexes/docs", {"tags": {"pinyon-target-recall": "0"}}, version)
    assert server.send("GET", "/indexes/docs", version=version)[1] == created


def test_the_report_is_json(server: Server) -> None:
    status, report = server.send("GET", "/pinyon/report", version=None)
    assert status == 200
    assert report["indexes"] == []
    assert report["process"]["memtables_bytes"] == 0
    assert server.send("POST", "/pinyon/report")[0] == 405
    with pytest.raises(NotFoundError):
        server.send("GET", "/pinyon/reports")


@given(body=OLD_BODIES | NEW_BODIES, version=st.sampled_from(["2025-10", "2026-07"]))
def test_any_body_creates_an_index_or_raises_our_errors(body: object, version: str) -> None:
    server = Server()
    server.send("POST", "/indexes", OLD_DOCS | {"name": "another"})
    for method, path in (("POST", "/indexes"), ("PATCH", "/indexes/another")):
        try:
            server.send(method, path, body, version)
        except (InvalidArgumentError, UnprocessableError, NotFoundError, UnimplementedError):
            continue
    for shown_to in ApiVersion:
        assert server.send("GET", "/indexes", version=shown_to.value)[0] == 200


@given(body=st.binary() | st.text().map(str.encode), version=st.sampled_from(["2025-10", "2026-07"]))
def test_any_bytes_are_refused(body: bytes, version: str) -> None:
    server = Server()
    for method, path in (("POST", "/indexes"), ("PATCH", "/indexes/docs")):
        with pytest.raises(PinyonError):
            server.send(method, path, body, version)
