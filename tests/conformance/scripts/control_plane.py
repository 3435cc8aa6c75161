"""The life of an index on the control plane: `control_plane.py PREFIX`.

Prints one JSON object: step -> what was seen.
"""

import json
import sys
from typing import Any

import plain
from connect import VERSION, rest_client
from pinecone import ServerlessSpec

(PREFIX,) = sys.argv[1:]
NAME = f"{PREFIX}-control"
SPEC = ServerlessSpec(cloud="aws", region="us-east-1")


def described(client: Any, name: str) -> dict[str, Any]:
    """The parts of a description that every generation shows."""
    index = client.describe_index(name)
    return {
        "name": index.name,
        "dimension": index.dimension,
        "metric": str(getattr(index.metric, "value", index.metric)),
        "ready": index.status.ready,
        "state": index.status.state,
        "protected": str(index.deletion_protection) == "enabled",
    }


def tags(client: Any) -> dict[str, str]:
    """The tags of an index; none and no tags are the same."""
    return dict(tags_of(client.describe_index(NAME)) or {})


def tags_of(index: Any) -> Any:
    """Tags are an object of its own type up to 8."""
    value = index.tags
    return value.to_dict() if hasattr(value, "to_dict") else value


def main() -> None:
    """Create, look at, change and delete an index, with what is refused on the way."""
    client = rest_client()
    seen: dict[str, Any] = {"before": client.has_index(NAME)}

    client.create_index(name=NAME, dimension=8, metric="euclidean", spec=SPEC, deletion_protection="enabled")
    seen["created"] = described(client, NAME)
    seen["listed"] = NAME in client.list_indexes().names()
    seen["has_index"] = client.has_index(NAME)
    seen["created_again"] = plain.failure(client.create_index, name=NAME, dimension=8, spec=SPEC)

    seen["protected"] = plain.failure(client.delete_index, NAME)
    client.configure_index(name=NAME, deletion_protection="disabled")
    seen["unprotected"] = described(client, NAME)

    if VERSION >= (6,):
        client.configure_index(name=NAME, tags={"team": "search", "stage": "test"})
        seen["tagged"] = tags(client)
        client.configure_index(name=NAME, tags={"team": "", "owner": "me"})
        seen["retagged"] = tags(client)
        sparse = f"{PREFIX}-sparse"
        client.create_index(name=sparse, metric="dotproduct", vector_type="sparse", spec=SPEC, tags={"a": "b"})
        index = client.describe_index(sparse)
        seen["sparse"] = {"ready": index.status.ready, "tags": dict(tags_of(index) or {})}
        seen["both_listed"] = {NAME, sparse} <= set(client.list_indexes().names())
        client.delete_index(sparse)

    seen["upper_case"] = plain.failure(client.create_index, name="Upper", dimension=8, spec=SPEC)
    seen["dimension"] = plain.failure(client.create_index, name=f"{PREFIX}-big", dimension=20_001, spec=SPEC)
    seen["cosine_is_default"] = default_metric(client)

    client.delete_index(NAME)
    seen["deleted"] = client.has_index(NAME)
    seen["described_after"] = plain.failure(client.describe_index, NAME)
    seen["deleted_again"] = plain.failure(client.delete_index, NAME)
    print(json.dumps(seen))


def default_metric(client: Any) -> str:
    """The metric of an index that was created without one."""
    name = f"{PREFIX}-default"
    client.create_index(name=name, dimension=3, spec=SPEC)
    metric = described(client, name)["metric"]
    client.delete_index(name)
    return metric


main()
