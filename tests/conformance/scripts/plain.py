"""Answers of every generation of the client as plain JSON values, so that they can be compared.

Scores and values are float32 on the server: they are rounded to four decimals. The default namespace is shown as ""
or as "__default__", by the API's version: here it is "".
"""

from collections.abc import Callable, Iterable
from typing import Any


def matches(response: Any) -> list[list[Any]]:
    """`[id, score]` of each match, best first."""
    return [[match.id, round(match.score, 4)] for match in response.matches]


def ids(response: Any) -> list[str]:
    """Ids of the matches, best first."""
    return [match.id for match in response.matches]


def record(vector: Any) -> dict[str, Any]:
    """A fetched record or a match, without the parts that are empty."""
    parts = {
        "id": vector.id,
        "values": rounded(getattr(vector, "values", None)),
        "sparse_values": sparse(getattr(vector, "sparse_values", None)),
        "metadata": getattr(vector, "metadata", None),
    }
    return {name: part for name, part in parts.items() if part}


def fetched(response: Any) -> dict[str, Any]:
    """Fetched records by id."""
    return {id: record(vector) for id, vector in sorted(response.vectors.items())}


def sparse(values: Any) -> dict[str, list[Any]] | None:
    """A sparse vector, or None. Some generations show one without entries where the record has none."""
    if not values or not values.indices:
        return None
    return {"indices": list(values.indices), "values": rounded(values.values)}


def rounded(values: Iterable[float] | None) -> list[float]:
    """Numbers to four decimals."""
    return [round(value, 4) for value in values or []]


def counts(stats: Any) -> dict[str, int]:
    """Records by namespace."""
    return {namespace(name): summary.vector_count for name, summary in sorted(stats.namespaces.items())}


def namespace(name: str) -> str:
    """A namespace's name, the same for all API versions."""
    return "" if name == "__default__" else name


def pages(listing: Iterable[Any]) -> list[list[str]]:
    """Ids of each page of a listing: plain up to 8, objects from 9 on."""
    return [[item if isinstance(item, str) else item.id for item in getattr(page, "vectors", page)] for page in listing]


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or what it raised as text: one example that fails leaves the others their say."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001  Each generation has exceptions of its own.
        return f"{type(error).__name__}: {error}"


def failure(call: Callable[..., Any], *arguments: Any, **options: Any) -> str | None:
    """What a call raised, as `Type: text`, or None if it succeeded."""
    try:
        call(*arguments, **options)
    except Exception as error:  # noqa: BLE001  Each generation has exceptions of its own.
        return f"{type(error).__name__}: {error}"
    return None
