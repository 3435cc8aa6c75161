"""What bodies of the control plane say about integrated embedding, to requests of the service.

Creating an index for a model has one body in all versions. Configuring it has two: `embed` up to 2026-04, and from
2026-07 on `schema` with the field that holds the text. A field that is null counts as absent.
"""

from typing import Any, Literal

from pinyon.errors import InvalidArgumentError
from pinyon.model.index import Deployment
from pinyon.model.metric import Metric
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.index_requests import CreateIndex, EmbedRequest
from pinyon.wire.rest.index_parts import (
    MetadataSchema,
    Protection,
    ReadCapacity,
    check_read_capacity,
    filterable_fields_of,
    is_protected,
)
from pinyon.wire.rest.typed_body import Body, decode_body


class EmbedPatch(Body):
    """`embed` of a configure request up to 2026-04."""

    model: str | None = None
    field_map: dict[str, str] | None = None
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


class _SemanticTextPatch(Body):
    type: Literal["semantic_text"]
    model: str | None = None
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


class SchemaPatch(Body):
    """`schema` of a configure request from 2026-07 on."""

    fields: dict[str, _SemanticTextPatch]


class _EmbedCreate(Body):
    model: str
    field_map: dict[str, str]
    metric: Metric | None = None
    dimension: int | None = None
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


class _CreateForModel(Body):
    name: str
    cloud: str
    region: str
    embed: _EmbedCreate
    deletion_protection: Protection | None = None
    tags: dict[str, str] | None = None
    schema: MetadataSchema | None = None
    read_capacity: ReadCapacity | None = None


def parse_create_for_model(body: Buffer) -> CreateIndex:
    """The body of `POST /indexes/create-for-model`.

    Raises:
        InvalidArgumentError: it is not JSON, or its shape says what no index can be.
        UnprocessableError: it is JSON of another shape.
        UnimplementedError: it asks for what Pinyon does not have.
    """
    asked = decode_body(body, _CreateForModel)
    check_read_capacity(asked.read_capacity)
    return CreateIndex(
        name=asked.name,
        deployment=Deployment(kind="serverless", options={"cloud": asked.cloud, "region": asked.region}),
        dimension=asked.embed.dimension,
        metric=asked.embed.metric,
        deletion_protection=bool(is_protected(asked.deletion_protection)),
        tags=asked.tags or {},
        filterable_fields=filterable_fields_of(asked.schema),
        embed=EmbedRequest(
            model=asked.embed.model,
            field_map=asked.embed.field_map,
            read_parameters=asked.embed.read_parameters,
            write_parameters=asked.embed.write_parameters,
        ),
    )


def embed_request(patch: EmbedPatch | None) -> EmbedRequest | None:
    """What a configure request up to 2026-04 asks for."""
    if patch is None:
        return None
    return EmbedRequest(
        model=patch.model,
        field_map=patch.field_map,
        read_parameters=patch.read_parameters,
        write_parameters=patch.write_parameters,
    )


def semantic_text_request(patch: SchemaPatch | None) -> EmbedRequest | None:
    """What a configure request from 2026-07 on asks for.

    Raises:
        InvalidArgumentError: it does not name exactly one field.
    """
    if patch is None:
        return None
    if len(patch.fields) != 1:
        raise InvalidArgumentError(f"schema must have exactly one field to change, and has {len(patch.fields)}")
    [(name, field)] = patch.fields.items()
    return EmbedRequest(
        model=field.model,
        of_field=name,
        read_parameters=field.read_parameters,
        write_parameters=field.write_parameters,
    )
