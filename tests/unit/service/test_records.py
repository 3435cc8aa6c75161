"""Text in, records found: what the Records API of an index does; what it refuses, it has not done in part."""

from typing import Any

import msgspec
import numpy as np
import pytest

from pinyon.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PayloadTooLargeError,
    UnavailableError,
)
from pinyon.inference.protocol import InputType, Truncate
from pinyon.inference.registry import Registry
from pinyon.inference.served import DenseModel, SparseModel
from pinyon.model.index import Embed
from pinyon.model.metric import Metric
from pinyon.model.record import RecordBatch, SparseVector
from pinyon.service.data_plane import DataPlane
from pinyon.service.inference import Inference
from pinyon.service.record_requests import Hits, RerankHits, SearchRecords, TextRecord, UpsertRecords
from pinyon.service.records import Records
from pinyon.service.requests import CreateNamespace, DescribeStats, Fetch, Upsert
from tests.codecs import data_plane
from tests.unit.service.fake_registry import (
    DENSE,
    DIMENSION,
    MAX_TOKENS,
    SPARSE,
    FakeDense,
    FakeExpanding,
    FakeRegistry,
    FakeSparse,
    InlineWorker,
    index_of,
)

DENSE_EMBED = Embed(
    model="dense",
    text_field="body",
    read_parameters={"input_type": "query", "truncate": "NONE", "dimension": DIMENSION},
    write_parameters={"input_type": "passage", "truncate": "NONE", "dimension": DIMENSION},
    fingerprint="dense-weights-1",
)
SPARSE_EMBED = Embed(
    model="sparse",
    text_field="body",
    read_parameters={"input_type": "query", "max_tokens_per_sequence": 16},
    write_parameters={"input_type": "passage", "max_tokens_per_sequence": 16},
    fingerprint="sparse-weights-1",
)
TEXTS = {"cat": "the cat sat", "dog": "a dog ran", "both": "cat and dog", "cats": "cat cat cat"}


class World:
    """An index with its records API, and the models behind it."""

    def __init__(self, embed: Embed | None, dimension: int | None = DIMENSION, **options: Any) -> None:
        self.models = FakeRegistry()
        self.plane: DataPlane = data_plane(dimension, Metric.DOTPRODUCT, embed=embed, **options)
        self.records = Records(self.plane, Inference(self.models))

    def put(self, namespace: str = "", **texts: str) -> int:
        return self.put_all([TextRecord(id_, {"body": text}) for id_, text in texts.items()], namespace)

    def put_all(self, records: list[TextRecord], namespace: str = "") -> int:
        return self.records.upsert(UpsertRecords(namespace, records)).lsn

    def search(self, text: str | None = None, namespace: str = "", top_k: int = 10, **changes: Any) -> Hits:
        return self.records.search(SearchRecords(namespace=namespace, top_k=top_k, text=text, **changes))

    def ids(self, text: str | None = None, **changes: Any) -> list[str]:
        return [hit.id for hit in self.search(text, **changes).hits]

    def counts(self) -> dict[str, int]:
        return self.plane.describe_stats(DescribeStats()).record_counts


@pytest.fixture
def dense() -> World:
    return World(DENSE_EMBED)


@pytest.fixture
def sparse() -> World:
    return World(SPARSE_EMBED, None)


@pytest.fixture
def plain() -> World:
    """An index that embeds no text, with one record."""
    world = World(None)
    world.plane.upsert(Upsert("", RecordBatch(["a"], np.ones((1, DIMENSION), np.float32), None, None)))
    return world


# Upsert.


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_records_are_found_by_their_text(kind, request):
    world: World = request.getfixturevalue(kind)
    written = world.records.upsert(UpsertRecords("", [TextRecord(id_, {"body": TEXTS[id_]}) for id_ in TEXTS]))
    assert (written.lsn, written.count) == (1, 4)
    result = world.search("dog ran", top_k=1)
    assert [(hit.id, hit.fields) for hit in result.hits] == [("dog", {"body": "a dog ran"})]
    assert (result.lsn, result.read_units, result.embed_token_count, result.rerank_units) == (1, 1, 2, None)


def test_texts_are_embedded_as_passages_and_queries_with_the_indexs_parameters(dense):
    dense.put(a="some text")
    dense.search("some query")
    (passage, options), (query, read_options) = dense.models.dense_encoder.asked
    assert (passage, options.input_type, options.truncate) == ("some text", InputType.PASSAGE, Truncate.NONE)
    assert (query, read_options.input_type, read_options.truncate) == ("some query", InputType.QUERY, Truncate.NONE)
    assert options.dimension == DIMENSION


def test_an_index_without_parameters_embeds_as_passages_and_queries_too():
    world = World(msgspec.structs.replace(DENSE_EMBED, read_parameters={}, write_parameters={}))
    world.put(a="text")
    world.search("query")
    assert [options.input_type for _, options in world.models.dense_encoder.asked] == [
        InputType.PASSAGE,
        InputType.QUERY,
    ]


def test_a_record_is_replaced_whole_and_only_the_last_of_an_id_is_embedded(dense):
    dense.put_all([TextRecord("a", {"body": "one", "year": 1})])
    twice = [TextRecord("a", {"body": "two", "x": 1}), TextRecord("a", {"body": "three"})]
    assert dense.records.upsert(UpsertRecords("", twice)).count == 2
    assert [text for text, _ in dense.models.dense_encoder.asked] == ["one", "three"]
    assert [hit.fields for hit in dense.search("three").hits] == [{"body": "three"}]


@pytest.mark.parametrize(("name", "same"), [("", "__default__"), ("__default__", ""), ("a/b c", "a/b c")])
def test_namespaces(dense, name, same):
    dense.put(name, a="text")
    assert dense.ids("text", namespace=same) == ["a"]
    assert dense.ids("text", namespace="other") == []


def test_a_text_without_a_word_that_is_indexed_is_refused(sparse):
    with pytest.raises(InvalidArgumentError, match=r"^The text of record 'a' has no word that the model indexes$"):
        sparse.put(a="the of the", b="word")
    with pytest.raises(InvalidArgumentError, match="record 'a'"):
        sparse.put(a="the")
    assert sparse.counts() == {}


@pytest.mark.parametrize(
    ("records", "error", "text"),
    [
        ([TextRecord("a", {"body": "fine"}), TextRecord("b", {})], InvalidArgumentError, "'body' of record 'b'"),
        ([TextRecord("a", {"body": "fine"}), TextRecord("b", {"body": "x " * 17})], InvalidArgumentError, "17 tokens"),
        ([TextRecord("a", {"body": "fine", "n": {}})], InvalidArgumentError, "for field 'n'"),
        ([TextRecord(str(i), {"body": "x"}) for i in range(97)], InvalidArgumentError, "Batch size exceeds 96"),
    ],
)
def test_an_upsert_that_is_refused_writes_nothing(dense, records, error, text):
    with pytest.raises(error, match=text):
        dense.put_all(records, "n")
    assert dense.counts() == {}
    assert dense.plane.describe_stats(DescribeStats()).lsn == 0


def test_what_is_too_large_is_refused_before_it_is_embedded():
    world = World(DENSE_EMBED, upsert_bytes_max=1000)
    with pytest.raises(PayloadTooLargeError):
        world.put(a="x" * 1000)
    with pytest.raises(PayloadTooLargeError):
        world.put_all([TextRecord(str(number), {"body": "x"}) for number in range(32)])
    assert world.models.dense_encoder.asked == []


def test_a_model_that_fails_writes_nothing(dense):
    dense.models.dense_encoder.failure = UnavailableError("no weights")
    with pytest.raises(UnavailableError):
        dense.put(a="text")
    with pytest.raises(UnavailableError):
        dense.search("text")
    assert dense.counts() == {}


class _Broken(FakeDense):
    def run(self, pieces):
        return [np.full(DIMENSION, self.number, np.float32) for _ in pieces]

    number = 0.0


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_vectors_that_no_index_takes_are_not_written(number):
    world = World(DENSE_EMBED)
    encoder = _Broken("dense-weights-1")
    encoder.number = number
    models = Registry([DenseModel(DENSE, encoder, InlineWorker(encoder))])
    with pytest.raises(InvalidArgumentError, match="Dense vectors must contain"):
        Records(world.plane, Inference(models)).upsert(UpsertRecords("", [TextRecord("a", {"body": "x"})]))
    assert world.counts() == {}


def test_vectors_of_another_dimension_are_not_written():
    world = World(DENSE_EMBED, dimension=5)
    with pytest.raises(InvalidArgumentError, match="Vector dimension 64 does not match the dimension of the index 5"):
        world.put(a="x")
    assert world.counts() == {}


# Whose vectors they are.


@pytest.mark.parametrize(("embed", "dimension"), [(DENSE_EMBED, DIMENSION), (SPARSE_EMBED, None)])
def test_texts_are_refused_where_something_else_serves_the_model(embed, dimension):
    world = World(embed, dimension)
    world.put(a="text")
    for encoder in (world.models.dense_encoder, world.models.sparse_encoder):
        encoder.fingerprint = "other-weights"
    for request in (lambda: world.put(b="text"), lambda: world.search("text")):
        with pytest.raises(FailedPreconditionError) as refusal:
            request()
        for part in (embed.fingerprint, "other-weights", f"{embed.model} is now served", "Serve the model as before"):
            assert part in refusal.value.message
    assert world.ids(id="a") == ["a"]
    assert world.counts() == {"__default__": 1}


def test_texts_are_refused_where_nothing_serves_the_model(dense):
    dense.put(a="text")
    records = Records(dense.plane, Inference(Registry([], {"dense": "Start it with --models-backend."})))
    for request in (
        lambda: records.upsert(UpsertRecords("", [TextRecord("b", {"body": "text"})])),
        lambda: records.search(SearchRecords(namespace="", top_k=1, text="text")),
    ):
        with pytest.raises(FailedPreconditionError, match=r"not served now: .*--models-backend"):
            request()
    assert [hit.id for hit in records.search(SearchRecords(namespace="", top_k=1, id="a")).hits] == ["a"]


def test_an_index_without_a_model_takes_no_texts(plain):
    for request in (lambda: plain.put(b="x"), lambda: plain.search("x")):
        with pytest.raises(InvalidArgumentError, match="Integrated inference is not configured for this index"):
            request()


def test_an_index_without_a_model_is_searched_by_vector_and_id(plain):
    assert plain.ids(id="a") == ["a"]
    assert plain.ids(dense=np.ones(DIMENSION, np.float32)) == ["a"]
    with pytest.raises(InvalidArgumentError, match="Vector dimension 3 does not match"):
        plain.search(dense=np.ones(3, np.float32))


# Search.


def test_search_by_vector_and_id_embeds_nothing(dense):
    dense.put(**TEXTS)
    asked = len(dense.models.dense_encoder.asked)
    stored = dense.plane.fetch(Fetch("", ["dog"])).records[0].dense
    assert dense.ids(dense=stored, top_k=1) == ["dog"]
    result = dense.search(id="dog", top_k=1)
    assert [hit.id for hit in result.hits] == ["dog"]
    assert result.embed_token_count is None
    assert dense.ids(id="unknown") == []
    assert len(dense.models.dense_encoder.asked) == asked


def test_search_by_sparse_vector(sparse):
    sparse.put(**TEXTS)
    vector = SparseVector(np.array([index_of("dog"), index_of("ran")], np.uint32), np.array([1, 5], np.float32))
    assert [(hit.id, hit.score) for hit in sparse.search(sparse=vector).hits] == [("dog", 6.0), ("both", 1.0)]
    with pytest.raises(InvalidArgumentError, match="does not support dense values"):
        sparse.search(dense=np.ones(2, np.float32))


def test_filters(dense):
    dense.put_all([TextRecord(id_, {"body": "text", "year": year}) for id_, year in [("a", 1), ("b", 2), ("c", 3)]])
    assert dense.ids("text", filter={"year": {"$gte": 2}}) == ["b", "c"]
    assert dense.ids("text", filter={}) == ["a", "b", "c"]
    with pytest.raises(InvalidArgumentError):
        dense.search("text", filter={"year": {"$near": 2}})


@pytest.mark.parametrize(
    ("fields", "shown"),
    [(None, {"body": "text", "year": 1}), (["*"], {"body": "text", "year": 1}), (["year"], {"year": 1}), ([], {})],
)
def test_fields(dense, fields, shown):
    dense.put_all([TextRecord("a", {"body": "text", "year": 1})])
    assert dense.search("text", fields=fields).hits[0].fields == shown


def test_words_of_a_query_weigh_by_how_many_records_of_the_namespace_have_them(sparse):
    sparse.put(**TEXTS)
    sparse.put("other", x="ran ran ran", y="ran")
    # Four records: "ran" is in one, weight 4; "cat" in three, weight 2.
    assert [(hit.id, hit.score) for hit in sparse.search("cat ran").hits] == [
        ("cats", 6.0),
        ("dog", 4.0),
        ("both", 2.0),
        ("cat", 2.0),
    ]


def test_records_without_a_word_of_the_query_are_not_found(sparse):
    sparse.put(**TEXTS)
    assert sorted(sparse.ids("dog")) == ["both", "dog"]
    assert sparse.ids("horse") == []
    assert sparse.ids("dog", namespace="other") == []


# Terms that a hit must have.


@pytest.mark.parametrize(
    ("text", "terms", "ids"),
    [
        ("cat", ["dog"], ["both", "dog"]),
        ("cat dog", ["CAT", "dog"], ["both"]),
        ("cat dog", ["cat dog"], ["both"]),
        ("cat dog", ["the", "dog"], ["both", "dog"]),
        ("cat", ["horse"], []),
        ("cat", [], ["both", "cat", "cats"]),
    ],
)
def test_hits_have_all_terms(sparse, text, terms, ids):
    sparse.put(**TEXTS)
    assert sorted(sparse.ids(text, terms=terms)) == ids


def test_a_record_with_all_terms_is_a_hit_without_a_word_of_the_query_and_with_a_score_of_0(sparse):
    sparse.put(**TEXTS)
    hits = sparse.search("ran horse", terms=["dog"]).hits
    assert [(hit.id, hit.score) for hit in hits] == [("dog", 4.0), ("both", 0.0)]
    assert sparse.ids("the", terms=["ran"]) == ["dog"]


def test_terms_with_a_vector_and_an_id(sparse):
    sparse.put(**TEXTS)
    vector = SparseVector(np.array([index_of("cat")], np.uint32), np.ones(1, np.float32))
    assert sparse.ids(sparse=vector, terms=["dog"]) == ["both", "dog"]
    assert sparse.ids(id="cat", terms=["dog"]) == ["both", "dog"]


@pytest.mark.parametrize("kind", ["dense", "plain"])
def test_terms_need_a_sparse_index_with_a_model(kind, request):
    with pytest.raises(InvalidArgumentError, match=r"match_terms is only supported .* pinecone-sparse-english-v0"):
        request.getfixturevalue(kind).search(id="a", terms=["x"])


def test_terms_need_a_model_whose_vectors_have_only_words_of_the_text():
    world = World(SPARSE_EMBED, None)
    encoder = FakeExpanding("sparse-weights-1")
    records = Records(world.plane, Inference(Registry([SparseModel(SPARSE, encoder, InlineWorker(encoder))])))
    records.upsert(UpsertRecords("", [TextRecord("a", {"body": "text"})]))
    assert [hit.id for hit in records.search(SearchRecords(namespace="", top_k=1, text="other")).hits] == ["a"]
    with pytest.raises(InvalidArgumentError, match="match_terms is only supported"):
        records.search(SearchRecords(namespace="", top_k=1, text="text", terms=["text"]))


def test_terms_are_never_cut_off(sparse):
    sparse.put(**TEXTS)
    assert sparse.ids("dog", terms=["dog"] * MAX_TOKENS + ["cat"]) == ["both"]
    assert sparse.ids("dog", terms=["dog"] * MAX_TOKENS + ["horse"]) == []


def test_terms_of_which_none_is_indexed_are_refused(sparse):
    sparse.put(a="the cat")
    assert sparse.ids("cat", terms=["the", "cat"]) == ["a"]
    for terms in (["the"], ["the of", "The"], ["?!"]):
        with pytest.raises(InvalidArgumentError, match=r"^match_terms has no word that the model indexes$"):
            sparse.search("cat", terms=terms)


def test_more_terms_than_a_record_can_have_are_refused(sparse):
    sparse.search("cat", terms=[f"w{number}" for number in range(2048)])
    with pytest.raises(InvalidArgumentError, match="match_terms has 2049 words, and no record has more than 2048"):
        sparse.search("cat", terms=[" ".join(f"w{number}" for number in range(2049))])


def test_terms_are_hashed_by_what_made_the_vectors(sparse):
    sparse.put(a="text")
    sparse.models.sparse_encoder.fingerprint = "other-weights"
    with pytest.raises(FailedPreconditionError):
        sparse.search(id="a", terms=["text"])


# Reranking.


def rerank(**changes: Any) -> RerankHits:
    request: dict[str, Any] = {"model": "ranker", "rank_fields": ["body"]}
    return RerankHits(**request | changes)


def test_hits_are_sorted_by_the_reranker(dense):
    dense.put(**TEXTS)
    result = dense.search("cat", top_k=3, rerank=rerank(query="and dog"))
    assert (result.hits[0].id, result.hits[0].score) == ("both", 1.0)
    assert [hit.score for hit in result.hits] == sorted([hit.score for hit in result.hits], reverse=True)
    assert result.rerank_units == 1
    assert len(result.hits) == 3


def test_hits_are_compared_with_the_text_that_is_searched(dense):
    dense.put(**TEXTS)
    dense.search("cat", rerank=rerank())
    assert {query for query, _, _ in dense.models.rerank_backend.asked} == {"cat"}


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_top_n_hits_are_left(dense, top_n, count):
    dense.put(**TEXTS)
    assert len(dense.search("cat", top_k=3, rerank=rerank(top_n=top_n)).hits) == count


@pytest.mark.parametrize(("fields", "shown"), [([], {}), (["year"], {"year": 1}), (None, {"body": "text", "year": 1})])
def test_rank_fields_need_not_be_shown(dense, fields, shown):
    dense.put_all([TextRecord("a", {"body": "text", "year": 1})])
    assert [hit.fields for hit in dense.search("text", fields=fields, rerank=rerank()).hits] == [shown]


def test_hits_of_a_vector_and_an_id_are_reranked_with_a_query(dense):
    dense.put(**TEXTS)
    assert dense.ids(id="cat", rerank=rerank(query="ran"))[0] == "dog"
    assert dense.ids(dense=np.ones(DIMENSION, np.float32), rerank=rerank(query="ran"))[0] == "dog"
    with pytest.raises(InvalidArgumentError, match="Rerank needs a 'query'"):
        dense.search(id="cat", rerank=rerank())


def test_no_hits_are_reranked_by_nobody(dense):
    result = dense.search("text", rerank=rerank())
    assert (result.hits, result.rerank_units) == ([], 0)
    assert dense.models.rerank_backend.asked == []


def test_parameters_of_the_reranker(dense):
    dense.put(a="text")
    dense.search("text", rerank=rerank(parameters={"truncate": "NONE"}))
    assert [truncate for _, _, truncate in dense.models.rerank_backend.asked] == [Truncate.NONE]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"model": "no"}, NotFoundError, "Model 'no' not found"),
        ({"model": "dense"}, InvalidArgumentError, "does not support reranking"),
        ({"rank_fields": []}, InvalidArgumentError, "At least one rank field"),
        ({"rank_fields": ["body", "year"]}, InvalidArgumentError, "Only one rank field is supported for model"),
        ({"parameters": {"truncate": 1}}, InvalidArgumentError, "truncate=1"),
        ({"query": ""}, InvalidArgumentError, "query of rerank must not be empty"),
    ],
)
def test_a_reranking_that_is_refused_is_so_before_anything_is_embedded(dense, changes, error, text):
    dense.put(a="text")
    with pytest.raises(error, match=text):
        dense.search("text", rerank=rerank(**changes))
    assert len(dense.models.dense_encoder.asked) == 1


def test_a_hit_that_lacks_a_rank_field_is_named(dense):
    dense.put_all([TextRecord("a", {"body": "text", "title": "x"}), TextRecord("b", {"body": "text", "title": 5})])
    dense.put_all([TextRecord("c", {"body": "text"})], "other")
    with pytest.raises(InvalidArgumentError, match=r"field 'title' must be a string in document at index 1.*'b'"):
        dense.search("text", rerank=rerank(rank_fields=["title"]))
    with pytest.raises(InvalidArgumentError, match=r"field 'title' not found in document at index 0.*'c'"):
        dense.search("text", namespace="other", rerank=rerank(rank_fields=["title"]))


def test_more_hits_than_the_reranker_takes_are_refused(dense):
    dense.put(**{f"id{number}": "text" for number in range(6)})
    assert len(dense.ids("text", top_k=5, rerank=rerank())) == 5
    with pytest.raises(InvalidArgumentError, match="Document length '6' exceeded documents limit of 5"):
        dense.search("text", rerank=rerank())


def test_a_namespace_with_a_schema_filters_by_its_own_fields(dense):
    dense.plane.create_namespace(CreateNamespace("n", ("year",)))
    dense.put_all([TextRecord("a", {"body": "text", "year": 1})], "n")
    assert dense.ids("text", namespace="n", filter={"year": 1}) == ["a"]


def test_a_sparse_model_that_is_replaced_by_one_of_the_same_weights_goes_on(sparse):
    sparse.put(a="text")
    encoder = FakeSparse("sparse-weights-1")
    records = Records(sparse.plane, Inference(Registry([SparseModel(SPARSE, encoder, InlineWorker(encoder))])))
    assert [hit.id for hit in records.search(SearchRecords(namespace="", top_k=1, text="text")).hits] == ["a"]
