"""What an index is: the definition that the control plane stores and the data plane obeys."""

from typing import Any

import msgspec

from pinyon.model.metric import Metric, VectorType


class Deployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the caller asked the index to run. Pinyon runs every index here; the answer must echo the question.

    `kind` is "serverless", "pod" or "byoc"; `options` are that kind's own keys as the caller gave them
    (serverless: cloud, region; pod: environment, pod_type, replicas, shards, pods; byoc: environment).
    """

    kind: str
    options: dict[str, Any] = {}


class Embed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an index turns text into its vectors.

    Attributes:
        model: the name that requests use.
        text_field: the field of a record that holds the text.
        read_parameters: of the model for queries, complete: those that the caller left out have their defaults.
        write_parameters: of the model for records, likewise.
        fingerprint: of what served the model when it was chosen. Vectors of another must not be mixed with these.
        served_by: what stood in for the named model then, as told to people; "" for the model itself.
    """

    model: str
    text_field: str
    read_parameters: dict[str, str | int | float | bool]
    write_parameters: dict[str, str | int | float | bool]
    fingerprint: str
    served_by: str = ""


class IndexDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One index, independent of the API version that created or shows it.

    Attributes:
        name: unique among the indexes of a server.
        index_id: never reused; names the folder on disk.
        vector_type: dense or sparse.
        dimension: of dense vectors; None for a sparse index.
        metric: dotproduct for a sparse index.
        port: the TCP port of its data plane, which stays the same across restarts; 0 until one is assigned.
        deployment: echo of what the caller asked for.
        deletion_protection: True refuses deletion of the index.
        tags: the caller's own labels.
        filterable_fields: metadata fields that filters may use; None means all.
        created_at_s: seconds since the epoch.
        embed: how it turns text into vectors; None where records always bring their own.
    """

    name: str
    index_id: str
    vector_type: VectorType
    dimension: int | None
    metric: Metric
    port: int = 0
    deployment: Deployment
    deletion_protection: bool = False
    tags: dict[str, str] = {}
    filterable_fields: tuple[str, ...] | None = None
    created_at_s: float = 0.0
    embed: Embed | None = None
