"""Bodies of the Records API to requests of the service.

An upsert is NDJSON, whatever its content type says: one object a line, lines without anything passed over, the last
one with or without its end. A search is one object. Fields that are not known are refused, never dropped; `null` is as
good as absent.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.record_requests import RerankHits, SearchRecords, TextRecord
from pinyon.service.record_rules import batch_size_error
from pinyon.wire.rest import vector_json as read

_LINE: Final = re.compile(rb"\S[^\n]*")
"""A line from the first character that is no white space: empty ones cost nothing, however many there are."""

_SEARCH: Final = read.field_names("query", "fields", "rerank")
_QUERY: Final = read.field_names("top_k", "inputs", "vector", "id", "filter", "match_terms")
_INPUTS: Final = read.field_names("text")
_MATCH_TERMS: Final = read.field_names("strategy", "terms")
_RERANK: Final = read.field_names("model", "rank_fields", "top_n", "parameters", "query")


def parse_records(body: Buffer) -> list[TextRecord]:
    """The records of an upsert.

    Raises:
        InvalidArgumentError: a line is no JSON object or has no id, or there are too many; the message says which.
    """
    records: list[TextRecord] = []
    for number, line in enumerate(_LINE.finditer(body), 1):
        if number > limits.TEXT_RECORDS_PER_UPSERT_MAX:
            raise batch_size_error()
        records.append(_parse_record(line.group(), number))
    return records


def parse_search(body: Buffer, namespace: str) -> SearchRecords:
    """A search in `namespace`.

    Raises:
        InvalidArgumentError: the body has another shape; the message says what of it.
    """
    search = read.parse_object(body, _SEARCH)
    query = _read_part(search, "query", _QUERY)
    inputs = _read_part(query, "inputs", _INPUTS)
    match_terms = _read_part(query, "match_terms", _MATCH_TERMS)
    rerank = _read_part(search, "rerank", _RERANK)
    if "inputs" in query and "text" not in inputs:
        raise InvalidArgumentError("Missing field 'text' in inputs")
    list_count = sum(("fields" in search, "terms" in match_terms, "rank_fields" in rerank))
    dense, sparse = read.read_search_vector(body, query["vector"], list_count) if "vector" in query else (None, None)
    return SearchRecords(
        namespace=namespace,
        top_k=_required_int(query, "top_k"),
        text=read.read_text(inputs, "text") if "inputs" in query else None,
        dense=dense,
        sparse=sparse,
        id=read.read_text(query, "id") if "id" in query else None,
        filter=read.read_dict(query, "filter"),
        terms=_read_terms(match_terms) if "match_terms" in query else (),
        fields=read.read_texts(search, "fields") if "fields" in search else None,
        rerank=_read_rerank(rerank) if "rerank" in search else None,
    )


def _parse_record(line: Buffer, number: int) -> TextRecord:
    """The record of a line; its id stands under `_id` or `id`, or the same under both."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"Record {number} is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _invalid(f"Record {number} is not a JSON object")
    ids = [id_ for id_ in (fields.pop("_id", None), fields.pop("id", None)) if id_ is not None]
    if not ids:
        raise _invalid(f"Record {number} must contain an '_id' or 'id' field")
    if not all(isinstance(id_, str) for id_ in ids):
        raise _invalid(f"The '_id' of record {number} must be a string")
    if ids[0] != ids[-1]:
        raise _invalid(f"Record {number} has two ids, '_id' and 'id', that are not the same")
    return TextRecord(ids[0], fields)


def _read_terms(fields: Mapping[str, read.Element]) -> list[str]:
    if read.read_text(fields, "strategy", "all") != "all":
        raise InvalidArgumentError("Invalid value for 'strategy' in match_terms: only 'all' is supported")
    terms = read.read_texts(fields, "terms")
    if not terms or not all(term.strip() for term in terms):
        raise InvalidArgumentError("Invalid value for 'terms' in match_terms: at least one is needed, and none empty")
    return terms


def _read_rerank(fields: Mapping[str, read.Element]) -> RerankHits:
    for name in ("model", "rank_fields"):
        if name not in fields:
            raise InvalidArgumentError(f"Missing field '{name}' in rerank")
    return RerankHits(
        model=read.read_text(fields, "model"),
        rank_fields=read.read_texts(fields, "rank_fields"),
        query=read.read_text(fields, "query") if "query" in fields else None,
        top_n=read.read_int(fields, "top_n"),
        parameters=read.read_dict(fields, "parameters") or {},
    )


def _read_part(fields: Mapping[str, read.Element], name: str, names: read.FieldNames) -> dict[str, Any]:
    """An object inside an object; none is an empty one."""
    return read.read_object(fields[name], names, name) if name in fields else {}


def _required_int(fields: Mapping[str, read.Element], name: str) -> int:
    value = read.read_int(fields, name)
    if value is None:
        raise InvalidArgumentError(f"Missing field '{name}' in query")
    return value


def _invalid(detail: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Error parsing request: Invalid input: {detail}")
