"""Bodies of create and configure requests, in the shape of each API version, to requests of the service.

Both shapes refuse what they do not know. A field that is null counts as absent.
"""

from typing import Any

from pinyon.errors import InvalidArgumentError, UnimplementedError
from pinyon.model.index import Deployment
from pinyon.model.metric import Metric, VectorType
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.index_requests import ConfigureIndex, CreateIndex, EmbedRequest
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.rest.embed_bodies import EmbedPatch, SchemaPatch, embed_request, semantic_text_request
from pinyon.wire.rest.index_parts import (
    MetadataSchema,
    Protection,
    ReadCapacity,
    check_read_capacity,
    filterable_fields_of,
    is_protected,
)
from pinyon.wire.rest.index_schema import classic_vectors
from pinyon.wire.rest.typed_body import Body, decode_body, shape_error


def parse_create(body: Buffer, version: ApiVersion) -> CreateIndex:
    """The body of `POST /indexes`.

    Raises:
        InvalidArgumentError: it is not JSON, or its shape says what no index can be.
        UnprocessableError: it is JSON of another shape.
        UnimplementedError: it asks for what Pinyon does not have.
    """
    if version.has_schema_indexes:
        return _create_from_schema(decode_body(body, _SchemaCreate))
    return _create_from_spec(decode_body(body, _SpecCreate))


def parse_configure(body: Buffer, version: ApiVersion) -> ConfigureIndex:
    """The body of `PATCH /indexes/{name}`; raises as `parse_create` does."""
    if version.has_schema_indexes:
        return _configure_from_schema(decode_body(body, _SchemaConfigure))
    return _configure_from_spec(decode_body(body, _SpecConfigure))


# Up to 2026-04: dimension, metric, spec.


class _MetadataConfig(Body):
    indexed: list[str] | None = None


class _ServerlessSpec(Body):
    cloud: str
    region: str
    read_capacity: ReadCapacity | None = None
    source_collection: str | None = None
    schema: MetadataSchema | None = None


class _PodSpec(Body):
    environment: str
    pod_type: str | None = None
    replicas: int | None = None
    shards: int | None = None
    pods: int | None = None
    metadata_config: _MetadataConfig | None = None
    source_collection: str | None = None


class _ByocSpec(Body):
    environment: str
    read_capacity: ReadCapacity | None = None
    schema: MetadataSchema | None = None


class _Spec(Body):
    serverless: _ServerlessSpec | None = None
    pod: _PodSpec | None = None
    byoc: _ByocSpec | None = None


class _SpecCreate(Body):
    name: str
    spec: _Spec
    dimension: int | None = None
    metric: Metric | None = None
    vector_type: VectorType | None = None
    deletion_protection: Protection | None = None
    tags: dict[str, str] | None = None


def _create_from_spec(body: _SpecCreate) -> CreateIndex:
    deployment, filterable_fields = _deployment_of_spec(body.spec)
    return CreateIndex(
        name=body.name,
        deployment=deployment,
        vector_type=body.vector_type or VectorType.DENSE,
        dimension=body.dimension,
        metric=body.metric,
        deletion_protection=bool(is_protected(body.deletion_protection)),
        tags=body.tags or {},
        filterable_fields=filterable_fields,
    )


def _deployment_of_spec(spec: _Spec) -> tuple[Deployment, tuple[str, ...] | None]:
    """The deployment and the filterable fields of a spec, which names exactly one kind."""
    match spec:
        case _Spec(serverless=_ServerlessSpec() as serverless, pod=None, byoc=None):
            _check_source_collection(serverless.source_collection)
            check_read_capacity(serverless.read_capacity)
            options = {"cloud": serverless.cloud, "region": serverless.region}
            return Deployment(kind="serverless", options=options), filterable_fields_of(serverless.schema)
        case _Spec(serverless=None, pod=_PodSpec() as pod, byoc=None):
            _check_source_collection(pod.source_collection)
            return _pod_deployment(pod), _indexed_fields(pod.metadata_config)
        case _Spec(serverless=None, pod=None, byoc=_ByocSpec() as byoc):
            check_read_capacity(byoc.read_capacity)
            return Deployment(kind="byoc", options={"environment": byoc.environment}), filterable_fields_of(byoc.schema)
        case _:
            raise shape_error("expected exactly one of `serverless`, `pod`, `byoc`", "spec")


def _pod_deployment(pod: _PodSpec) -> Deployment:
    options: dict[str, Any] = {
        "environment": pod.environment,
        "pod_type": "p1.x1" if pod.pod_type is None else pod.pod_type,
        "replicas": 1 if pod.replicas is None else pod.replicas,
        "shards": 1 if pod.shards is None else pod.shards,
    }
    if pod.pods is not None:
        options["pods"] = pod.pods
    return Deployment(kind="pod", options=options)


def _check_source_collection(source_collection: str | None) -> None:
    if source_collection is not None:
        raise UnimplementedError("Creating an index from a collection is not supported yet")


def _indexed_fields(config: _MetadataConfig | None) -> tuple[str, ...] | None:
    if config is None or config.indexed is None:
        return None
    return tuple(dict.fromkeys(config.indexed))


class _PodPatch(Body):
    replicas: int | None = None
    pod_type: str | None = None


class _CapacityPatch(Body):
    read_capacity: ReadCapacity | None = None


class _SpecPatch(Body):
    serverless: _CapacityPatch | None = None
    pod: _PodPatch | None = None
    byoc: _CapacityPatch | None = None


class _SpecConfigure(Body):
    spec: _SpecPatch | None = None
    deletion_protection: Protection | None = None
    tags: dict[str, str] | None = None
    embed: EmbedPatch | None = None


def _configure_from_spec(body: _SpecConfigure) -> ConfigureIndex:
    spec = body.spec or _SpecPatch()
    for patch in (spec.serverless, spec.byoc):  # Python 9 names byoc whatever the index is, so the kind says nothing
        check_read_capacity(patch.read_capacity if patch else None)
    return _configure(spec.pod, body.deletion_protection, body.tags, embed_request(body.embed))


def _configure(
    pod: _PodPatch | None, protection: Protection | None, tags: dict[str, str] | None, embed: EmbedRequest | None
) -> ConfigureIndex:
    return ConfigureIndex(
        pod_type=pod.pod_type if pod else None,
        replicas=pod.replicas if pod else None,
        deletion_protection=is_protected(protection),
        tags=tags,
        embed=embed,
    )


# 2026-07: schema, deployment.


class _Managed(Body, tag_field="deployment_type", tag="managed"):
    cloud: str
    region: str


class _Pod(Body, tag_field="deployment_type", tag="pod"):
    environment: str
    pod_type: str
    replicas: int
    shards: int


class _Byoc(Body, tag_field="deployment_type", tag="byoc"):
    environment: str


class _Schema(Body):
    fields: dict[str, dict[str, Any]]


class _SchemaCreate(Body):
    schema: _Schema
    name: str | None = None
    deployment: _Managed | _Pod | _Byoc | None = None
    read_capacity: ReadCapacity | None = None
    deletion_protection: Protection | None = None
    tags: dict[str, str] | None = None
    cmek_id: str | None = None
    source_collection: str | None = None
    source_backup_id: str | None = None


def _create_from_schema(body: _SchemaCreate) -> CreateIndex:
    if body.source_collection is not None or body.source_backup_id is not None:
        raise InvalidArgumentError("Creating an index from collection or backup is not yet supported")
    vectors = classic_vectors(body.schema.fields)
    check_read_capacity(body.read_capacity)
    if body.cmek_id is not None:
        raise UnimplementedError("Customer-managed encryption keys are not supported")
    return CreateIndex(
        name=body.name,
        deployment=_deployment(body.deployment),
        vector_type=vectors.vector_type,
        dimension=vectors.dimension,
        metric=vectors.metric,
        deletion_protection=bool(is_protected(body.deletion_protection)),
        tags=body.tags or {},
    )


def _deployment(deployment: _Managed | _Pod | _Byoc | None) -> Deployment:
    match deployment:
        case None:
            return Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"})
        case _Managed(cloud=cloud, region=region):
            return Deployment(kind="serverless", options={"cloud": cloud, "region": region})
        case _Pod():
            options = {key: getattr(deployment, key) for key in deployment.__struct_fields__}
            return Deployment(kind="pod", options=options)
        case _Byoc(environment=environment):
            return Deployment(kind="byoc", options={"environment": environment})


class _SchemaConfigure(Body):
    deployment: _PodPatch | None = None
    schema: SchemaPatch | None = None
    read_capacity: ReadCapacity | None = None
    deletion_protection: Protection | None = None
    tags: dict[str, str] | None = None


def _configure_from_schema(body: _SchemaConfigure) -> ConfigureIndex:
    check_read_capacity(body.read_capacity)
    return _configure(body.deployment, body.deletion_protection, body.tags, semantic_text_request(body.schema))
