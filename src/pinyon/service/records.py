"""The Records API of one index: text in, records found. Embeds, and then asks the data plane.

Synchronous; called from many threads. What must hold:

- all of a request that can be refused is refused before anything is embedded, and everything is embedded before the
  one write: a method that raises has changed nothing;
- vectors of two models are never mixed or compared: where the index's model is now served by something else than when
  its vectors were made, texts are refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from pinyon import limits
from pinyon.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from pinyon.inference.protocol import EncodeOptions, InputType
from pinyon.inference.registry import Embedder
from pinyon.inference.served import DenseModel, SparseModel
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.index import Embed, IndexDefinition
from pinyon.model.record import Match, RecordBatch, UInt32s
from pinyon.protobuf.struct import json_object
from pinyon.service import validation
from pinyon.service.data_plane import DataPlane
from pinyon.service.inference import Inference, Ranking
from pinyon.service.inference_rules import encode_options, rank_text
from pinyon.service.metadata_rules import shorten
from pinyon.service.model_parameters import ParameterValues
from pinyon.service.record_requests import Hit, Hits, SearchRecords, UpsertRecords
from pinyon.service.record_rules import (
    CheckedRecords,
    check_embed,
    check_records,
    check_search,
    rerank_query,
    shown_fields,
)
from pinyon.service.requests import Query, Written
from pinyon.service.validation import namespace_name

_READ: Final[ParameterValues] = {"input_type": InputType.QUERY}
_WRITE: Final[ParameterValues] = {"input_type": InputType.PASSAGE}
"""What counts for an index whose parameters do not say what its texts are for."""

_MATCH_TERMS: Final = (
    "match_terms is only supported for sparse indexes with integrated embedding by a model that indexes words, "
    "such as pinecone-sparse-english-v0"
)


class Records:
    """The records of one index, by their text."""

    def __init__(self, data_plane: DataPlane, inference: Inference) -> None:
        """Write to and search in `data_plane`, with the models of `inference`."""
        self._data_plane = data_plane
        self._inference = inference

    def upsert(self, request: UpsertRecords) -> Written:
        """Embed and write whole records. `count` is the number sent.

        Raises:
            InvalidArgumentError: a record breaks a rule; the message names it.
            FailedPreconditionError: the index's model is not served, or by something else.
        """
        embed = check_embed(self._data_plane.definition.embed)
        namespace = namespace_name(request.namespace)
        checked = check_records(request.records, embed.text_field)
        self._data_plane.check_room(namespace, len(checked.ids), sum(map(len, checked.metadata)))
        batch = _embedded(checked, self._model(embed), encode_options(_WRITE | embed.write_parameters))
        _check_vectors(batch, self._data_plane.definition)
        return Written(self._data_plane.write(namespace, batch), len(request.records))

    def search(self, request: SearchRecords) -> Hits:
        """Find the nearest records; none where the namespace or the id does not exist.

        Raises:
            InvalidArgumentError: the request breaks a rule, or a hit lacks a field to rerank by.
            NotFoundError: the reranker is not served.
            FailedPreconditionError: the index's model is not served, or by something else.
        """
        check_search(request)
        sort = self._sort(request)
        query, token_count = self._query(request)
        result = self._data_plane.query(query)
        hits = sort([_hit(match) for match in result.matches])
        return Hits(
            lsn=result.lsn,
            hits=[Hit(hit.id, hit.score, shown_fields(hit.fields, request.fields)) for hit in hits],
            read_units=result.read_units,
            embed_token_count=token_count,
            rerank_units=None if request.rerank is None else int(bool(hits)),
        )

    def _sort(self, request: SearchRecords) -> Callable[[list[Hit]], list[Hit]]:
        """What sorts the hits of a search anew, checked before there are any."""
        rerank = request.rerank
        if rerank is None:
            return lambda hits: hits
        ranking = self._inference.ranking(rerank.model, rerank.rank_fields, rerank.parameters)
        query = rerank_query(rerank, request.text)
        return lambda hits: _reranked(hits, ranking, query, rerank.top_n)

    def _query(self, request: SearchRecords) -> tuple[Query, int | None]:
        """The query that a search is, and how many tokens it took to make it; None where nothing was embedded."""
        required = self._required_indices(request.terms)
        query = Query(
            namespace=request.namespace,
            top_k=request.top_k,
            dense=request.dense,
            sparse=request.sparse,
            id=request.id,
            filter=request.filter,
            include_metadata=request.fields != [] or request.rerank is not None,
            required_indices=required,
            target_recall=request.target_recall,
        )
        return (query, None) if request.text is None else self._embedded_query(query, request.text)

    def _embedded_query(self, query: Query, text: str) -> tuple[Query, int]:
        embed = check_embed(self._data_plane.definition.embed)
        model = self._model(embed)
        options = encode_options(_READ | embed.read_parameters)
        if isinstance(model, DenseModel):
            rows, token_count = model.embed([text], options)
            return replace(query, dense=rows[0]), token_count
        embeddings, token_count = model.embed([text], options)
        weigh = model.weigh_query if model.weighs_queries else None
        return replace(query, sparse=embeddings[0].vector, weigh=weigh), token_count

    def _required_indices(self, terms: Sequence[str]) -> UInt32s | None:
        """The indices of the words of `terms`; None for no condition.

        Words that the model does not index, such as stop words, are no condition beside others.
        """
        if not terms:
            return None
        embed = self._data_plane.definition.embed
        model = None if embed is None else self._model(embed)
        # A model that finds words that are not in the text would demand these of a hit too.
        if embed is None or not isinstance(model, SparseModel) or not model.weighs_queries:
            raise InvalidArgumentError(_MATCH_TERMS)
        indices = model.indices_of(terms)
        if not len(indices):
            raise InvalidArgumentError("match_terms has no word that the model indexes")
        if len(indices) > limits.SPARSE_NONZEROS_MAX:
            raise InvalidArgumentError(
                f"match_terms has {len(indices)} words, and no record has more than {limits.SPARSE_NONZEROS_MAX}"
            )
        return indices

    def _model(self, embed: Embed) -> Embedder:
        try:
            model = self._inference.embedder(embed.model)
        except NotFoundError as error:
            raise FailedPreconditionError(
                f"The index embeds text by a model that is not served now: {error.message}"
            ) from error
        if model.fingerprint != embed.fingerprint:
            raise FailedPreconditionError(
                f"The vectors of this index were made by {embed.fingerprint}, but {embed.model} is now served by "
                f"{model.fingerprint}, and vectors of two models cannot be compared. Serve the model as before, or "
                "upsert the records into a new index. Requests with vectors still work."
            )
        return model


def _embedded(checked: CheckedRecords, model: Embedder, options: EncodeOptions) -> RecordBatch:
    metadata = bytes_column(checked.metadata)
    if isinstance(model, DenseModel):
        return RecordBatch(checked.ids, model.embed(checked.texts, options)[0], None, metadata)
    embeddings, _ = model.embed(checked.texts, options)
    return RecordBatch(checked.ids, None, sparse_column([each.vector for each in embeddings]), metadata)


def _check_vectors(batch: RecordBatch, definition: IndexDefinition) -> None:
    """Refuse what a model may give and an index cannot take."""
    if batch.dense is not None:
        validation.check_dimension(batch.dense[0], definition)
        validation.check_dense(batch.dense)
        return
    for id_, row in zip(batch.ids, range(len(batch)), strict=True):
        if batch.sparse is None or not len(batch.sparse[row].indices):
            raise InvalidArgumentError(f"The text of record '{shorten(id_)}' has no word that the model indexes")
    assert batch.sparse is not None, "there is at least one record"
    validation.check_sparse(batch.sparse)


def _hit(match: Match) -> Hit:
    return Hit(match.id, match.score, json_object(match.metadata))


def _reranked(hits: list[Hit], ranking: Ranking, query: str, top_n: int | None) -> list[Hit]:
    texts = [
        rank_text(hit.fields, ranking.rank_fields, f"document at index {index}, the record '{hit.id}'")
        for index, hit in enumerate(hits)
    ]
    return [Hit(hits[each.index].id, each.score, hits[each.index].fields) for each in ranking.rank(query, texts, top_n)]
