"""Requests of the control plane, independent of the API version that they arrived in.

A codec of `pinyon.wire` builds them and has then checked the shape of the body; `pinyon.service.control_plane`
checks the content.
"""

from dataclasses import dataclass, field
from typing import Any

from pinyon.model.index import Deployment
from pinyon.model.metric import Metric, VectorType


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """How an index is to embed text. None leaves a thing as it is, or to its default.

    Attributes:
        model: the name of a model.
        field_map: `text` to the field of a record that holds the text.
        of_field: the field that holds the text already, for requests that name it to say what they change.
        read_parameters: of the model for queries; those that are left out get their defaults.
        write_parameters: of the model for records, likewise.
    """

    model: str | None = None
    field_map: dict[str, str] | None = None
    of_field: str | None = None
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create an index.

    Attributes:
        name: None lets the server make one up.
        deployment: `options` has every key of its kind, except that a pod deployment may leave out `pods`.
        vector_type: what its records carry; where it embeds text, the model decides.
        dimension: None for a sparse index; where it embeds text, None means the default of the model.
        metric: None means the default of the vector type, or of the model.
        deletion_protection: True refuses deletion of the index.
        tags: a tag with an empty value is not set.
        filterable_fields: metadata fields that filters may use; None means all.
        embed: how it embeds text, with a model; None where records always bring their vectors.
    """

    name: str | None
    deployment: Deployment
    vector_type: VectorType = VectorType.DENSE
    dimension: int | None = None
    metric: Metric | None = None
    deletion_protection: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    filterable_fields: tuple[str, ...] | None = None
    embed: EmbedRequest | None = None


@dataclass(frozen=True, slots=True)
class ConfigureIndex:
    """Change an index; None leaves a thing as it is.

    Attributes:
        pod_type: only a pod deployment has one.
        replicas: only a pod deployment has them.
        deletion_protection: True refuses deletion of the index.
        tags: merged into the index's tags; an empty value removes the tag.
        embed: how it embeds text.
    """

    pod_type: str | None = None
    replicas: int | None = None
    deletion_protection: bool | None = None
    tags: dict[str, str] | None = None
    embed: EmbedRequest | None = None
