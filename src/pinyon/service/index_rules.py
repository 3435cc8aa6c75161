"""What an index may be: names, dimensions, metrics, tags, metadata fields and deployments, with Pinecone's texts.

Every function is pure. A `check_…` returns nothing and raises on the first broken rule; the others return what the
rules make of their arguments. All raise InvalidArgumentError unless said otherwise.
"""

import re
from typing import Final

import msgspec

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.limits import (
    DIMENSION_MAX,
    INDEX_NAME_LENGTH_MAX,
    METADATA_SCHEMA_FIELDS_MAX,
    TAG_KEY_LENGTH_MAX,
    TAG_VALUE_LENGTH_MAX,
    TAGS_MAX,
)
from pinyon.model.index import Deployment
from pinyon.model.metric import Metric, VectorType
from pinyon.model.recall import TARGET_RECALL_TAG, parse_recall
from pinyon.service.index_requests import ConfigureIndex, CreateIndex

SERVERLESS_REGIONS: Final = {
    "aws": frozenset({"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"}),
    "gcp": frozenset({"us-central1", "europe-west4"}),
    "azure": frozenset({"eastus2", "germanywestcentral"}),
}
"""Pinecone's regions by cloud. Pinyon runs everything where it is, but a misspelt region must fail here as there."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_TAG_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{TAG_KEY_LENGTH_MAX}}}")
_TAG_VALUE = re.compile(rf"[ -~]{{0,{TAG_VALUE_LENGTH_MAX}}}")
_POD_TYPE = re.compile(r"(s1|p1|p2)\.(x1|x2|x4|x8)")
_PODS_MAX: Final = 2**31 - 1  # what clients read `replicas`, `shards` and `pods` into


def check_name(name: str) -> None:
    """An index name is 1 to 45 of `[a-z0-9-]` and neither starts nor ends with `-`."""
    if not 1 <= len(name) <= INDEX_NAME_LENGTH_MAX:
        raise InvalidArgumentError(f"Name must be 1 to {INDEX_NAME_LENGTH_MAX} characters long, and has {len(name)}")
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            "Name must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character"
        )


def check_vectors(request: CreateIndex) -> None:
    """A dense index has a dimension; a sparse one has none, and only the metric dotproduct."""
    if request.vector_type is VectorType.SPARSE:
        _check_sparse(request)
    elif request.dimension is None:
        raise InvalidArgumentError("dimension must be specified for dense indexes")
    elif not 1 <= request.dimension <= DIMENSION_MAX:
        raise InvalidArgumentError(f"dimension must be between 1 and {DIMENSION_MAX}, and is {request.dimension}")


def _check_sparse(request: CreateIndex) -> None:
    if request.dimension is not None:
        raise InvalidArgumentError("dimension should not be specified for sparse indexes")
    if request.metric not in (None, Metric.DOTPRODUCT):
        raise InvalidArgumentError("Sparse vector indexes must use the metric dotproduct")


def default_metric(vector_type: VectorType) -> Metric:
    """The metric of an index whose creator named none."""
    return Metric.DOTPRODUCT if vector_type is VectorType.SPARSE else Metric.COSINE


def merged_tags(tags: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """Tags with the changes applied: a value sets a tag, an empty value removes it."""
    for key, value in changes.items():
        _check_tag(key, value)
    merged = {key: value for key, value in (tags | changes).items() if value}
    if len(merged) > TAGS_MAX:
        raise InvalidArgumentError(f"An index may have at most {TAGS_MAX} tags, and would have {len(merged)}")
    return merged


def _check_tag(key: str, value: str) -> None:
    if not _TAG_KEY.fullmatch(key):
        raise InvalidArgumentError(
            f"Tag key {key!r} must be 1 to {TAG_KEY_LENGTH_MAX} characters, each alphanumeric, '_' or '-'"
        )
    if not _TAG_VALUE.fullmatch(value):
        raise InvalidArgumentError(
            f"The value of tag {key!r} must be at most {TAG_VALUE_LENGTH_MAX} printable ASCII characters"
        )
    if key == TARGET_RECALL_TAG and value and parse_recall(value) is None:
        raise InvalidArgumentError(f"The value of tag {key!r} must be a number above 0 and at most 1, and is {value!r}")


def check_filterable_fields(names: tuple[str, ...] | None) -> None:
    """A metadata schema names at most 50 fields, none empty or starting with `$` or `_`."""
    if names is None:
        return
    if len(names) > METADATA_SCHEMA_FIELDS_MAX:
        raise InvalidArgumentError(
            f"A metadata schema may have at most {METADATA_SCHEMA_FIELDS_MAX} fields, and has {len(names)}"
        )
    for name in names:
        if not name or name.startswith(("$", "_")):
            raise InvalidArgumentError(f"Metadata field {name!r} must not be empty or start with '$' or '_'")


def complete_deployment(deployment: Deployment) -> Deployment:
    """The deployment as the index keeps it: checked, and with the number of pods.

    Raises:
        InvalidArgumentError: an option breaks a rule.
        NotFoundError: Pinecone has no such cloud or region.
    """
    match deployment.kind:
        case "serverless":
            _check_region(deployment.options["cloud"], deployment.options["region"])
            return deployment
        case "pod":
            return _with_pods(deployment)
        case _:
            _check_environment(deployment)
            return deployment


def _check_region(cloud: str, region: str) -> None:
    if region not in SERVERLESS_REGIONS.get(cloud, ()):
        raise NotFoundError(f"Resource cloud: {cloud} region: {region} not found")


def _check_environment(deployment: Deployment) -> None:
    if not deployment.options["environment"]:
        raise InvalidArgumentError(f"environment must not be empty in a {deployment.kind} deployment")


def _with_pods(deployment: Deployment) -> Deployment:
    options = deployment.options
    _check_environment(deployment)
    if not _POD_TYPE.fullmatch(options["pod_type"]):
        raise InvalidArgumentError(
            f"pod_type must be one of s1, p1, p2 and one of .x1, .x2, .x4, .x8, and is {options['pod_type']!r}"
        )
    pods = _pods(options["replicas"], options["shards"])
    if options.get("pods", 1) not in (1, pods):  # clients send a default of 1 whatever the other two are
        raise InvalidArgumentError(f"pods must equal replicas x shards = {pods}, and is {options['pods']}")
    return msgspec.structs.replace(deployment, options=options | {"pods": pods})


def _pods(replicas: int, shards: int) -> int:
    if replicas < 1 or shards < 1 or replicas * shards > _PODS_MAX:
        raise InvalidArgumentError(
            f"replicas and shards must be at least 1 and their product at most {_PODS_MAX}, "
            f"and they are {replicas} and {shards}"
        )
    return replicas * shards


def configured_deployment(deployment: Deployment, request: ConfigureIndex) -> Deployment:
    """The deployment with the request's changes, which only a pod deployment can have."""
    changes = {"pod_type": request.pod_type, "replicas": request.replicas}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        return deployment
    if deployment.kind != "pod":
        raise InvalidArgumentError(f"{' and '.join(changes)} cannot be set in a {deployment.kind} deployment")
    options = {key: value for key, value in deployment.options.items() if key != "pods"}
    return _with_pods(Deployment(kind="pod", options=options | changes))
