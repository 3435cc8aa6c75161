"""Rules for records of text and for searches among them, with Pinecone's texts where they are known.

Every function is pure. All that can be refused of a record is refused here, before anything is embedded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.model.index import Embed
from pinyon.protobuf.struct import encode_metadata
from pinyon.service.inference_rules import check_text_length, check_top_n
from pinyon.service.metadata_rules import check_metadata, shorten
from pinyon.service.record_requests import RerankHits, SearchRecords, TextRecord
from pinyon.service.validation import check_metadata_size, check_record_id, check_top_k, namespace_name


@dataclass(frozen=True, slots=True)
class CheckedRecords:
    """Records that may be embedded: ids, each once; what to embed; all fields as encoded Structs."""

    ids: list[str]
    texts: list[str]
    metadata: list[bytes]


def check_records(records: Sequence[TextRecord], text_field: str) -> CheckedRecords:
    """Check records to be written; of equal ids the last counts.

    Raises:
        InvalidArgumentError: a record breaks a rule, or there are none or too many; the message names what.
    """
    if not records:
        raise InvalidArgumentError("Upsert request must contain at least one record")
    if len(records) > limits.TEXT_RECORDS_PER_UPSERT_MAX:
        raise batch_size_error()
    last: dict[str, tuple[str, bytes]] = {}
    for record in records:
        checked = _checked(record, text_field)
        last.pop(record.id, None)
        last[record.id] = checked
    return CheckedRecords(list(last), [text for text, _ in last.values()], [metadata for _, metadata in last.values()])


def batch_size_error() -> InvalidArgumentError:
    """The error of too many records in one request."""
    return InvalidArgumentError(
        f"Error parsing request: Invalid input: Batch size exceeds {limits.TEXT_RECORDS_PER_UPSERT_MAX}"
    )


def check_embed(embed: Embed | None) -> Embed:
    """How an index embeds text; refuses one that does not."""
    if embed is None:
        raise InvalidArgumentError("Integrated inference is not configured for this index")
    return embed


def check_search(request: SearchRecords) -> None:
    """Refuse a search for more than one thing or for none, and numbers out of range, before a text is embedded."""
    namespace_name(request.namespace)
    check_top_k(request.top_k)
    has_vector = request.dense is not None or request.sparse is not None
    sources = {"inputs": request.text is not None, "vector": has_vector, "id": request.id is not None}
    if sum(sources.values()) != 1:
        given = " and ".join(f"'{name}'" for name, is_given in sources.items() if is_given) or "none of them"
        raise InvalidArgumentError(f"Exactly one of 'inputs', 'vector' and 'id' must be provided, but got {given}")
    if request.text is not None:
        if not request.text.strip():
            raise InvalidArgumentError("The text to search for must not be empty")
        check_text_length(request.text, "The text to search for")
    check_text_length(" ".join(request.terms), "The text of match_terms")
    if request.rerank is not None:
        check_top_n(request.rerank.top_n)


def rerank_query(rerank: RerankHits, text: str | None) -> str:
    """The question that hits are compared with: the reranker's own, or the text that is searched.

    Raises:
        InvalidArgumentError: there is neither, or it is empty or too long.
    """
    query = text if rerank.query is None else rerank.query
    if query is None:
        raise InvalidArgumentError("Rerank needs a 'query' where the search is by vector or id")
    if not query.strip():
        raise InvalidArgumentError("The query of rerank must not be empty")
    check_text_length(query, "The query of rerank")
    return query


def shown_fields(fields: dict[str, Any], wanted: Sequence[str] | None) -> dict[str, Any]:
    """The fields of a record that a search returns: all for None and for `*`."""
    if wanted is None or "*" in wanted:
        return fields
    return {name: fields[name] for name in wanted if name in fields}


def _checked(record: TextRecord, text_field: str) -> tuple[str, bytes]:
    check_record_id(record.id)
    text = record.fields.get(text_field)
    what = f"field '{text_field}' of record '{shorten(record.id)}'"
    if text is None:
        raise InvalidArgumentError(f"Missing {what}: it holds the text to embed")
    if not isinstance(text, str):
        raise InvalidArgumentError(f"Invalid {what}: it holds the text to embed, and must be a string")
    if not text.strip():
        raise InvalidArgumentError(f"Empty {what}: it holds the text to embed")
    fields = {name: value for name, value in record.fields.items() if value is not None}
    metadata = encode_metadata(check_metadata(fields))
    check_metadata_size(metadata)
    return text, metadata
