"""Requests and results of the Records API: records whose vectors the server makes of their text.

A codec of `pinyon.wire` builds them and has then checked the shape of the body; `pinyon.service.records` checks the
content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinyon.model.record import Float32s, Lsn, SparseVector
from pinyon.service.requests import FilterExpression


@dataclass(frozen=True, slots=True)
class TextRecord:
    """A record as JSON gives it: its id, and all other fields, the text among them."""

    id: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UpsertRecords:
    """Embed and write whole records; a record with the same id is replaced."""

    namespace: str
    records: Sequence[TextRecord]


@dataclass(frozen=True, slots=True)
class RerankHits:
    """How the hits of a search are sorted anew.

    Attributes:
        model: what sorts them.
        rank_fields: fields whose texts are compared with the query.
        query: the question, as text; None for the text that was searched.
        top_n: how many to return; None for all.
        parameters: those of the model, as JSON gives them.
    """

    model: str
    rank_fields: Sequence[str]
    query: str | None = None
    top_n: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecords:
    """Find the records nearest to one of three: a text, a vector, a stored record.

    Attributes:
        namespace: as the caller wrote it.
        top_k: how many to find.
        text: to be embedded.
        dense: of a vector, with `sparse` or alone.
        sparse: of a vector, likewise.
        id: of a stored record.
        filter: None and `{}` both mean no filter.
        terms: words that a hit's text must have, every one of them.
        fields: what to return of each hit; None, or `*` among them, for everything.
        rerank: how the hits are sorted anew; None leaves them as they are.
        target_recall: as of a `Query`.
    """

    namespace: str
    top_k: int
    text: str | None = None
    dense: Float32s | None = None
    sparse: SparseVector | None = None
    id: str | None = None
    filter: FilterExpression | None = None
    terms: Sequence[str] = ()
    fields: Sequence[str] | None = None
    rerank: RerankHits | None = None
    target_recall: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search. `score` is that of the metric, or the reranker's."""

    id: str
    score: float
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hits:
    """Results of a search, best first, and what it took; None where no text was embedded, or nothing reranked."""

    lsn: Lsn
    hits: list[Hit]
    read_units: int
    embed_token_count: int | None = None
    rerank_units: int | None = None
