"""One stored index has two JSON shapes, each exactly what its versions know."""

from typing import Any

import pytest

from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.rest.index_shapes import show_index

HOST = "http://localhost:5081"
READY = {"ready": True, "state": "Ready"}
ON_DEMAND = {"mode": "OnDemand", "status": {"state": "Ready", "current_replicas": None, "current_shards": None}}
SERVERLESS = Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"})
POD = Deployment(
    kind="pod", options={"environment": "us-east1-gcp", "pod_type": "p1.x1", "replicas": 2, "shards": 1, "pods": 2}
)
BYOC = Deployment(kind="byoc", options={"environment": "aws-us-east-1-b921"})

SPEC_VERSIONS = [version for version in ApiVersion if not version.has_schema_indexes]


def dense(**changes: Any) -> IndexDefinition:
    fields: dict[str, Any] = {
        "name": "docs",
        "index_id": "0123",
        "vector_type": VectorType.DENSE,
        "dimension": 3,
        "metric": Metric.COSINE,
        "port": 5081,
        "deployment": SERVERLESS,
    }
    return IndexDefinition(**(fields | changes))


def sparse(**changes: Any) -> IndexDefinition:
    return dense(vector_type=VectorType.SPARSE, dimension=None, metric=Metric.DOTPRODUCT, **changes)


READ: dict[str, str | int | float | bool] = {"input_type": "query", "truncate": "END"}
WRITE: dict[str, str | int | float | bool] = {"input_type": "passage", "truncate": "END"}
EMBED = Embed(
    model="multilingual-e5-large", text_field="body", read_parameters=READ, write_parameters=WRITE, fingerprint="1"
)
STAND_IN = Embed(
    model="multilingual-e5-large",
    text_field="body",
    read_parameters=READ,
    write_parameters=WRITE,
    fingerprint="1",
    served_by="all-MiniLM-L6-v2",
)


def test_each_version_up_to_2026_04_gets_the_fields_that_it_knows() -> None:
    index = dense(tags={"a": "b"}, deletion_protection=True, filterable_fields=("genre",))
    serverless: dict[str, Any] = {"cloud": "aws", "region": "us-east-1"}
    expected: dict[str, Any] = {
        "name": "docs",
        "dimension": 3,
        "metric": "cosine",
        "host": HOST,
        "status": READY,
        "spec": {"serverless": serverless},
    }
    assert show_index(index, ApiVersion.V2024_04, HOST) == expected
    expected["deletion_protection"] = "enabled"
    assert show_index(index, ApiVersion.V2024_07, HOST) == expected
    expected["tags"] = {"a": "b"}
    assert show_index(index, ApiVersion.V2024_10, HOST) == expected
    expected["vector_type"] = "dense"
    assert show_index(index, ApiVersion.V2025_01, HOST) == expected
    assert show_index(index, ApiVersion.V2025_04, HOST) == expected
    serverless["read_capacity"] = ON_DEMAND
    serverless["schema"] = {"fields": {"genre": {"filterable": True}}}
    assert show_index(index, ApiVersion.V2025_10, HOST) == expected
    assert show_index(index, ApiVersion.V2026_04, HOST) == expected


def test_2026_07_shows_schema_and_deployment_and_nothing_of_the_older_shape() -> None:
    assert show_index(dense(), ApiVersion.V2026_07, HOST) == {
        "name": "docs",
        "host": HOST,
        "status": READY,
        "schema": {
            "fields": {
                "_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine", "description": None},
                "_sparse_values": {"type": "sparse_vector", "description": None},
            }
        },
        "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
        "deletion_protection": "disabled",
        "read_capacity": ON_DEMAND,
        "tags": None,
    }


def test_2026_07_shows_a_metadata_schema_beside_the_vectors() -> None:
    shown = show_index(sparse(filterable_fields=("genre", "year")), ApiVersion.V2026_07, HOST)
    assert shown["schema"]["fields"] == {
        "_sparse_values": {"type": "sparse_vector", "description": None},
        "genre": {"filterable": True},
        "year": {"filterable": True},
    }


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_how_text_is_embedded_is_shown_from_2025_01_on(version: ApiVersion) -> None:
    shown = show_index(dense(embed=EMBED), version, HOST)
    if version.at_least(ApiVersion.V2025_01):
        assert shown.pop("embed") == {
            "model": "multilingual-e5-large",
            "field_map": {"text": "body"},
            "dimension": 3,
            "metric": "cosine",
            "vector_type": "dense",
            "read_parameters": READ,
            "write_parameters": WRITE,
        }
    assert shown == show_index(dense(), version, HOST)


def test_a_sparse_model_has_no_dimension() -> None:
    shown = show_index(sparse(embed=EMBED), ApiVersion.V2025_10, HOST)["embed"]
    assert "dimension" not in shown
    assert (shown["vector_type"], shown["metric"]) == ("sparse", "dotproduct")
    field = show_index(sparse(embed=EMBED), ApiVersion.V2026_07, HOST)["schema"]["fields"]["body"]
    assert (field["dimension"], field["metric"]) == (None, "dotproduct")


def test_2026_07_shows_the_text_first_and_the_vectors_beside_it() -> None:
    shown = show_index(dense(embed=EMBED), ApiVersion.V2026_07, HOST)
    fields = shown["schema"]["fields"]
    assert list(fields) == ["body", "_values", "_sparse_values"]
    assert fields.pop("body") == {
        "type": "semantic_text",
        "model": "multilingual-e5-large",
        "dimension": 3,
        "metric": "cosine",
        "read_parameters": READ,
        "write_parameters": WRITE,
        "description": None,
    }
    assert shown == show_index(dense(), ApiVersion.V2026_07, HOST)


def test_a_stand_in_is_named() -> None:
    assert show_index(dense(embed=STAND_IN), ApiVersion.V2025_01, HOST)["embed"]["served_by"] == "all-MiniLM-L6-v2"
    fields = show_index(dense(embed=STAND_IN), ApiVersion.V2026_07, HOST)["schema"]["fields"]
    assert fields["body"]["description"] == "Stand-in for the model: all-MiniLM-L6-v2"


def test_a_text_that_filters_may_use_is_shown_as_a_text() -> None:
    index = dense(embed=EMBED, filterable_fields=("body", "genre"))
    fields = show_index(index, ApiVersion.V2026_07, HOST)["schema"]["fields"]
    assert list(fields) == ["body", "_values", "_sparse_values", "genre"]
    assert fields["body"]["type"] == "semantic_text"
    assert list(show_index(index, ApiVersion.V2025_10, HOST)["spec"]["serverless"]["schema"]["fields"]) == [
        "body",
        "genre",
    ]


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_a_sparse_index_has_a_dimension_only_where_clients_demand_one(version: ApiVersion) -> None:
    shown = show_index(sparse(), version, HOST)
    assert shown["metric"] == "dotproduct"
    if version.at_least(ApiVersion.V2025_01):
        assert shown["vector_type"] == "sparse"
        assert "dimension" not in shown
    else:
        assert 1 <= shown["dimension"] <= 20_000


@pytest.mark.parametrize(
    ("deployment", "filterable_fields", "spec_2025_01", "spec_2026_04", "deployment_2026_07"),
    [
        (
            POD,
            ("genre",),
            {"pod": {**POD.options, "metadata_config": {"indexed": ("genre",)}}},
            {"pod": {**POD.options, "metadata_config": {"indexed": ("genre",)}}},
            {
                "deployment_type": "pod",
                "environment": "us-east1-gcp",
                "pod_type": "p1.x1",
                "replicas": 2,
                "shards": 1,
            },
        ),
        (
            BYOC,
            None,
            {"byoc": {"environment": "aws-us-east-1-b921"}},
            {"byoc": {"environment": "aws-us-east-1-b921", "read_capacity": ON_DEMAND}},
            {"deployment_type": "byoc", "environment": "aws-us-east-1-b921"},
        ),
    ],
    ids=["pod", "byoc"],
)
def test_other_deployments(
    deployment: Deployment,
    filterable_fields: tuple[str, ...] | None,
    spec_2025_01: dict[str, Any],
    spec_2026_04: dict[str, Any],
    deployment_2026_07: dict[str, Any],
) -> None:
    index = dense(deployment=deployment, filterable_fields=filterable_fields)
    assert show_index(index, ApiVersion.V2025_01, HOST)["spec"] == spec_2025_01
    assert show_index(index, ApiVersion.V2026_04, HOST)["spec"] == spec_2026_04
    newest = show_index(index, ApiVersion.V2026_07, HOST)
    assert newest["deployment"] == deployment_2026_07
    assert ("read_capacity" in newest) == (deployment is not POD)


@pytest.mark.parametrize("version", SPEC_VERSIONS)
@pytest.mark.parametrize("deployment", [SERVERLESS, POD, BYOC], ids=lambda deployment: str(deployment.kind))
@pytest.mark.parametrize("make", [dense, sparse])
def test_the_older_shape_is_never_null_and_never_lacks_what_clients_require(
    version: ApiVersion, deployment: Deployment, make: Any
) -> None:
    shown = show_index(make(deployment=deployment), version, HOST)
    assert {"name", "metric", "host", "spec", "status"} <= shown.keys()
    assert None not in shown.values()
    assert None not in shown["spec"][deployment.kind].values()


def test_showing_an_index_does_not_change_it() -> None:
    index = dense(deployment=POD, filterable_fields=("genre",))
    for version in ApiVersion:
        show_index(index, version, HOST)
    assert index == dense(deployment=POD, filterable_fields=("genre",))
    assert "metadata_config" not in POD.options


@pytest.mark.parametrize("version", ApiVersion)
def test_an_index_that_is_not_ready_says_so_in_a_word_that_all_versions_know(version: ApiVersion) -> None:
    ready, closed = (show_index(dense(), version, HOST, is_ready=is_ready) for is_ready in (True, False))
    assert closed == ready | {"status": {"ready": False, "state": "InitializationFailed"}}
    assert ready["status"] == READY
