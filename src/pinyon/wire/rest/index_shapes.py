"""How an index is shown: `dimension`, `metric` and `spec` up to 2026-04, `schema` and `deployment` from 2026-07.

One stored definition has both shapes, whichever version created it. Old clients fail on a whole list for one field
that they cannot read, so each version gets the fields that it knows, none of them null, and every field it requires.
"""

from typing import Any, Final

from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import VectorType
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.rest.index_schema import DENSE_NAME, SPARSE_NAME

_READY: Final = {"ready": True, "state": "Ready"}
_CLOSED: Final = {"ready": False, "state": "InitializationFailed"}
"""The `Failed` of 2026-07 would be a word that clients of older versions refuse; all know this one."""

_READ_CAPACITY: Final = {
    "mode": "OnDemand",
    "status": {"state": "Ready", "current_replicas": None, "current_shards": None},
}

_SPARSE_DIMENSION: Final = 1
"""Shown for sparse indexes to versions that have none: their clients require a dimension of 1 to 20000."""


def show_index(definition: IndexDefinition, version: ApiVersion, host: str, *, is_ready: bool = True) -> dict[str, Any]:
    """The JSON object of an index.

    Args:
        definition: the index.
        version: the API version of the request.
        host: where clients reach its data plane.
        is_ready: False if it could not be opened.
    """
    shown = _with_schema(definition, host) if version.has_schema_indexes else _with_spec(definition, version, host)
    return shown | {"status": _READY if is_ready else _CLOSED}


def _protection(definition: IndexDefinition) -> str:
    return "enabled" if definition.deletion_protection else "disabled"


def _filterable(definition: IndexDefinition) -> dict[str, dict[str, bool]]:
    return {name: {"filterable": True} for name in definition.filterable_fields or ()}


# Up to 2026-04.


def _with_spec(definition: IndexDefinition, version: ApiVersion, host: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": definition.name, "metric": definition.metric.value, "host": host}
    if definition.dimension is not None:
        shown["dimension"] = definition.dimension
    elif not version.at_least(ApiVersion.V2025_01):
        shown["dimension"] = _SPARSE_DIMENSION
    if version.at_least(ApiVersion.V2025_01):
        shown["vector_type"] = definition.vector_type.value
    if version.at_least(ApiVersion.V2024_07):
        shown["deletion_protection"] = _protection(definition)
    if version.at_least(ApiVersion.V2024_10) and definition.tags:
        shown["tags"] = definition.tags
    if version.at_least(ApiVersion.V2025_01) and definition.embed is not None:
        shown["embed"] = _embed(definition, definition.embed)
    return shown | {"spec": _spec(definition, version)}


def _embed(definition: IndexDefinition, embed: Embed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "model": embed.model,
        "field_map": {"text": embed.text_field},
        "metric": definition.metric.value,
        "vector_type": definition.vector_type.value,
        "read_parameters": embed.read_parameters,
        "write_parameters": embed.write_parameters,
    }
    if definition.dimension is not None:
        shown["dimension"] = definition.dimension
    if embed.served_by:
        shown["served_by"] = embed.served_by
    return shown


def _spec(definition: IndexDefinition, version: ApiVersion) -> dict[str, Any]:
    options = dict(definition.deployment.options)
    has_fields = definition.filterable_fields is not None
    if definition.deployment.kind == "pod":
        if has_fields:
            options["metadata_config"] = {"indexed": definition.filterable_fields}
    elif version.at_least(ApiVersion.V2025_10):
        options["read_capacity"] = _READ_CAPACITY
        if has_fields:
            options["schema"] = {"fields": _filterable(definition)}
    return {definition.deployment.kind: options}


# 2026-07.


def _with_schema(definition: IndexDefinition, host: str) -> dict[str, Any]:
    shown = {
        "name": definition.name,
        "host": host,
        "schema": {"fields": _schema_fields(definition)},
        "deployment": _deployment(definition.deployment),
        "deletion_protection": _protection(definition),
        "tags": definition.tags or None,
    }
    if definition.deployment.kind != "pod":
        shown["read_capacity"] = _READ_CAPACITY
    return shown


def _schema_fields(definition: IndexDefinition) -> dict[str, dict[str, Any]]:
    """All fields: the one that holds the text, the vectors, and those that filters may use.

    Pinecone's specification shows no vectors beside a text. They are true all the same, and with them clients can tell
    the dimension and the kind of the vectors.
    """
    text = _text_field(definition)
    return text | _vector_fields(definition) | _filterable(definition) | text  # again: it may be filterable, too


def _text_field(definition: IndexDefinition) -> dict[str, dict[str, Any]]:
    embed = definition.embed
    if embed is None:
        return {}
    field = {
        "type": "semantic_text",
        "model": embed.model,
        "dimension": definition.dimension,
        "metric": definition.metric.value,
        "read_parameters": embed.read_parameters,
        "write_parameters": embed.write_parameters,
        "description": f"Stand-in for the model: {embed.served_by}" if embed.served_by else None,
    }
    return {embed.text_field: field}


def _vector_fields(definition: IndexDefinition) -> dict[str, dict[str, Any]]:
    """A dense classic index always reports both vectors, for its records may carry sparse values too."""
    sparse = {SPARSE_NAME: {"type": "sparse_vector", "description": None}}
    if definition.vector_type is VectorType.SPARSE:
        return sparse
    dense = {
        "type": "dense_vector",
        "dimension": definition.dimension,
        "metric": definition.metric.value,
        "description": None,
    }
    return {DENSE_NAME: dense, **sparse}


def _deployment(deployment: Deployment) -> dict[str, Any]:
    kind = "managed" if deployment.kind == "serverless" else deployment.kind
    options = {key: value for key, value in deployment.options.items() if key != "pods"}
    return {"deployment_type": kind, **options}
