"""The calls for texts of every generation of the client, and its answers as plain values. See `connect.py`, `plain.py`.

Searches are given as the API's own bodies: `query` with `inputs`, `vector` or `id`, and beside it `fields`, `rerank`.
"""

import copy
from typing import Any

from connect import VERSION


def upsert_records(index: Any, namespace: str, records: list[dict[str, Any]]) -> Any:
    """Upsert records of text. Up to 8 the client changes the records that it is given."""
    return index.upsert_records(namespace=namespace, records=copy.deepcopy(records))


def search(index: Any, namespace: str, body: dict[str, Any]) -> Any:
    """Search records. Up to 8 `query` is one argument; from 9 on each of its parts is."""
    options = {name: body[name] for name in ("fields", "rerank") if name in body}
    if VERSION < (9,):
        return index.search_records(namespace=namespace, query=body["query"], **options)
    return index.search(namespace=namespace, **body["query"], **options)


def answer(response: Any) -> dict[str, Any]:
    """What a search found: `[id, score, fields]` of each hit, and what was counted."""
    usage = response.usage
    return {
        "hits": [hit(one) for one in response.result.hits],
        "usage": [getattr(usage, name, None) for name in ("read_units", "embed_total_tokens", "rerank_units")],
    }


def hit(one: Any) -> list[Any]:
    """`[id, score, fields]`."""
    if VERSION < (9,):
        return [one["_id"], round(one["_score"], 4), dict(one["fields"])]
    return [one.id, round(one.score, 4), dict(one.fields)]


def embed(description: Any) -> dict[str, Any]:
    """How an index embeds text: a plain dictionary in version 5, in 10 made from the schema."""
    shown = description.embed
    names = ("model", "metric", "field_map", "read_parameters", "write_parameters")
    parts = {name: shown[name] if isinstance(shown, dict) else getattr(shown, name) for name in names}
    return parts | {"dimension": getattr(description, "dimension", None)}


def headers(response: Any) -> dict[str, str]:
    """Response headers, with lower-case names, from 8 on. The attribute has an underscore in version 8."""
    info = getattr(response, "_response_info", None) or response.response_info
    raw = info["raw_headers"] if isinstance(info, dict) else info.raw_headers
    return {name.lower(): value for name, value in raw.items()}


def refusal(call: Any, *arguments: Any, **options: Any) -> list[Any] | None:
    """`[status, text]` of what a call raised, or None. The status is None where the client asked no server."""
    try:
        call(*arguments, **options)
    except Exception as error:  # noqa: BLE001  Each generation has exceptions of its own.
        status = getattr(error, "status_code", None) or getattr(error, "status", None)
        return [status, f"{type(error).__name__}: {error}"]
    return None
