"""Models behind HTTP, against a small real server that answers as the known ones do."""

import base64
import logging
import math
import re
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError, PinyonError, ResourceExhaustedError, UnavailableError
from pinyon.inference.http_backend import CohereReranker, OpenAIEncoder
from pinyon.inference.protocol import DenseEncoder, EncodeOptions, InputType, Reranker, Truncate
from pinyon.model.record import Float32s
from tests.unit.inference.scripted_server import Body, Reply, ScriptedServer

QUERY = EncodeOptions(input_type=InputType.QUERY)
PASSAGE = EncodeOptions(input_type=InputType.PASSAGE)
UNCUT = EncodeOptions(input_type=InputType.PASSAGE, truncate=Truncate.NONE)


def numbers(text: str) -> list[float]:
    """The vector of a text: what it begins with, and how long it is."""
    return [float(ord(text[0])), float(len(text)), 0.5]


def embeddings(texts: Sequence[str]) -> Reply:
    data = [{"object": "embedding", "index": at, "embedding": numbers(text)} for at, text in enumerate(texts)]
    return Reply({"object": "list", "model": "m", "data": data, "usage": {"total_tokens": 7}})


def plain(body: Body) -> Reply:
    return embeddings(body["input"])


def refuses_more_than(count: int, refusal: Reply) -> Callable[[Body], Reply]:
    return lambda body: refusal if len(body["input"]) > count else plain(body)


def refuses_longer_than(length: int, said: str, status: int = 413) -> Callable[[Body], Reply]:
    """Refuses a request with a text that is too long; `said` may name its `{length}`."""

    def answer(body: Body) -> Reply:
        longest = max(map(len, body["input"]))
        return Reply({"error": said.format(length=longest)}, status) if longest > length else plain(body)

    return answer


def loaded_encoder(server: ScriptedServer, model: str = "m", **arguments: float | str) -> OpenAIEncoder:
    encoder = OpenAIEncoder(model, server.url, **arguments)  # type: ignore[arg-type]
    encoder.load()
    server.asked.clear()
    return encoder


def embedded(encoder: DenseEncoder, texts: Sequence[str], options: EncodeOptions = PASSAGE) -> Float32s:
    return np.stack(encoder.run(encoder.prepare(texts, options)))


# ---------------------------------------------------------------------------------------------------------------------
# What is asked, and what comes of it


def test_texts_are_asked_for_together_and_come_back_as_float32():
    with ScriptedServer(plain) as server:
        encoder: DenseEncoder = loaded_encoder(server)
        vectors = embedded(encoder, ["apple", "bee"])
        assert encoder.dimension == 3
        assert encoder.fingerprint == "openai:m"
    assert vectors.tolist() == [[97.0, 5.0, 0.5], [98.0, 3.0, 0.5]]
    assert vectors.dtype == np.float32
    assert [asked.path for asked in server.asked] == ["/v1/embeddings"]
    assert server.bodies == [{"model": "m", "input": ["apple", "bee"], "encoding_format": "float"}]
    assert "Authorization" not in server.asked[0].headers


def test_the_key_is_sent_as_bearer():
    with ScriptedServer(plain) as server:
        embedded(loaded_encoder(server, api_key="secret"), ["a"])
    assert server.asked[0].headers["Authorization"] == "Bearer secret"


def test_the_url_may_name_the_whole_path():
    with ScriptedServer(plain) as server:
        for url in (server.url + "/", server.url + "/embeddings", server.url + "/embeddings/"):
            OpenAIEncoder("m", url).load()
    assert {asked.path for asked in server.asked} == {"/v1/embeddings"}


def test_one_connection_serves_many_requests_and_the_log_has_no_line_of_each(caplog):
    caplog.set_level(logging.INFO)
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server)
        for _ in range(3):
            embedded(encoder, ["a"])
    assert caplog.records == []
    assert len({asked.connection for asked in server.asked}) == 1


def test_results_are_put_in_the_order_of_their_index():
    def shuffled(body: Body) -> Reply:
        reply = plain(body)
        reply.body["data"].reverse()  # type: ignore[index]
        return reply

    with ScriptedServer(shuffled) as server:
        assert embedded(loaded_encoder(server), ["a", "bb", "ccc"])[:, 1].tolist() == [1, 2, 3]


def test_results_without_an_index_are_in_the_order_of_the_texts():
    with ScriptedServer(
        lambda body: Reply({"data": [{"embedding": numbers(text)} for text in body["input"]]})
    ) as server:
        assert embedded(loaded_encoder(server), ["a", "bb"])[:, 1].tolist() == [1, 2]


def test_base64_is_understood_though_it_was_not_asked_for():
    def as_base64(body: Body) -> Reply:
        packed = [base64.b64encode(np.array(numbers(text), "<f4").tobytes()).decode() for text in body["input"]]
        return Reply({"data": [{"index": at, "embedding": text} for at, text in enumerate(packed)]})

    with ScriptedServer(as_base64) as server:
        assert embedded(loaded_encoder(server), ["bee"]).tolist() == [[98.0, 3.0, 0.5]]


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("intfloat/multilingual-e5-large", "query: a", "passage: a"),
        ("jeffh/intfloat-multilingual-e5-small:f16", "query: a", "passage: a"),
        ("e5-base-v2", "query: a", "passage: a"),
        ("nvidia/llama-3.2-nv-embedqa-1b-v2", "query: a", "passage: a"),
        ("nomic-embed-text:latest", "search_query: a", "search_document: a"),
        ("intfloat/multilingual-e5-large-instruct", "a", "a"),
        ("text-embedding-3-small", "a", "a"),
        ("BAAI/bge-m3", "a", "a"),
    ],
)
def test_prefixes_are_those_of_the_models_family(model, query, passage):
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server, model)
        encoder.run(encoder.prepare(["a"], QUERY) + encoder.prepare(["a"], PASSAGE))
    assert server.bodies[0]["input"] == [query, passage]
    assert encoder.fingerprint == f"openai:{model}" + (":prefixed" if query != "a" else "")


def test_a_server_that_asks_what_a_text_is_for_is_told_in_its_own_field():
    def nim(body: Body) -> Reply:
        if "input_type" not in body:
            return Reply({"detail": "'input_type' parameter is required for asymmetric models"}, 400)
        return plain(body)

    with ScriptedServer(nim) as server:
        encoder = loaded_encoder(server, "nvidia/llama-3.2-nv-embedqa-1b-v2")
        pieces = encoder.prepare(["a", "b"], QUERY) + encoder.prepare(["c"], UNCUT) + encoder.prepare(["d"], QUERY)
        vectors = encoder.run(pieces)
    assert [chr(int(vector[0])) for vector in vectors] == ["a", "b", "c", "d"]
    told = [(body["input"], body["input_type"], body["truncate"]) for body in server.bodies]
    assert told == [(["a", "b", "d"], "query", "END"), (["c"], "passage", "NONE")]


def test_what_load_learnt_is_forgotten_when_it_is_tried_again():
    def asks_and_fails(body: Body) -> Reply:
        return Reply({"detail": "'input_type' is required"}, 400) if "input_type" not in body else Reply(b"", 500)

    with ScriptedServer(asks_and_fails) as server:
        encoder = OpenAIEncoder("m", server.url)
        with pytest.raises(UnavailableError):
            encoder.load()
        server.answer = plain
        encoder.load()
        embedded(encoder, ["a"])
    assert server.bodies[-1] == {"model": "m", "input": ["a"], "encoding_format": "float"}


def test_a_dimension_is_asked_for_only_if_it_is_another_than_the_models():
    def matryoshka(body: Body) -> Reply:
        return Reply({"data": [{"embedding": numbers(text)[: body.get("dimensions", 3)]} for text in body["input"]]})

    with ScriptedServer(matryoshka) as server:
        encoder = loaded_encoder(server)
        dimensions = (2, 3, None)
        options = [EncodeOptions(input_type=InputType.QUERY, dimension=dimension) for dimension in dimensions]
        vectors = encoder.run([piece for each in options for piece in encoder.prepare(["bee"], each)])
    assert [len(vector) for vector in vectors] == [2, 3, 3]
    assert [body.get("dimensions") for body in server.bodies] == [2, None]


def test_tokens_are_estimated_and_never_none():
    with ScriptedServer(plain) as server:
        pieces = loaded_encoder(server).prepare(["", "abc", "a" * 400], QUERY)
    assert [piece.token_count for piece in pieces] == [1, 1, 100]


def test_half_a_surrogate_pair_is_the_callers_mistake():
    with ScriptedServer(plain) as server, pytest.raises(InvalidArgumentError, match="not valid Unicode"):
        loaded_encoder(server).prepare(["\ud800"], QUERY)


# ---------------------------------------------------------------------------------------------------------------------
# Too much at once: the words are those of TEI, hosted providers, vLLM, llama.cpp and Ollama

BATCH_REFUSALS = [
    Reply({"message": "batch size 60 > maximum allowed batch size 32", "code": 422, "type": "Validation"}, 422),
    Reply({"error": {"message": "Value error, batch size is invalid, it should not be larger than 10"}}, 400),
    Reply({"error": {"message": "Invalid 'input': array too long. Expected an array with maximum length 2048"}}, 400),
]


@pytest.mark.parametrize("refusal", BATCH_REFUSALS)
def test_a_batch_that_is_refused_is_halved_and_the_size_remembered(refusal):
    texts = [chr(97 + number) * (number + 1) for number in range(20)]
    with ScriptedServer(refuses_more_than(6, refusal)) as server:
        encoder = loaded_encoder(server)
        assert embedded(encoder, texts)[:, 1].tolist() == list(range(1, 21))
        assert [len(body["input"]) for body in server.bodies] == [20, 10, 5, 5, 5, 5]
        server.asked.clear()
        assert embedded(encoder, texts)[:, 1].tolist() == list(range(1, 21))
        assert [len(body["input"]) for body in server.bodies] == [5, 5, 5, 5]


TOO_LONG = [
    ("Input validation error: `inputs` must have less than 512 tokens. Given: {length}", 413),
    ("This model's maximum context length is 512 tokens. However, you requested {length} tokens in the input", 400),
    ("input ({length} tokens) is too large to process. increase the physical batch size (current: 512)", 500),
    ("the input length exceeds the context length", 400),
    ("", 413),
]


@pytest.mark.parametrize(("said", "status"), TOO_LONG)
def test_a_text_that_is_refused_is_cut_and_the_others_are_not(said, status):
    with ScriptedServer(refuses_longer_than(512, said, status)) as server:
        encoder = loaded_encoder(server)
        vectors = embedded(encoder, ["a" * 3000, "b" * 512, "c" * 5])
        assert vectors[:, 0].tolist() == [97, 98, 99]
        assert vectors[1:, 1].tolist() == [512, 5]
        assert 350 <= vectors[0, 1] <= 512
        server.asked.clear()
        embedded(encoder, ["b", "c", "d"])
        assert len(server.bodies) == 1  # A long text is no reason for small batches.


def test_a_text_that_is_refused_may_lose_its_start():
    options = EncodeOptions(input_type=InputType.PASSAGE, truncate=Truncate.START)
    with ScriptedServer(refuses_longer_than(40, "must have less than 40 tokens. Given: {length}")) as server:
        vectors = embedded(loaded_encoder(server), ["a" * 150 + "b" * 38], options)
    assert vectors.tolist() == [[98.0, 38.0, 0.5]]


def test_a_text_that_must_not_be_cut_is_refused_with_the_servers_words():
    with ScriptedServer(refuses_longer_than(100, TOO_LONG[0][0])) as server:
        encoder = loaded_encoder(server)
        with pytest.raises(InvalidArgumentError, match=r"too long for the model: .* Given: 101.*truncate"):
            embedded(encoder, ["a", "b" * 101], UNCUT)


def test_a_server_that_refuses_whatever_comes_is_not_asked_for_ever():
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server)
        server.answer = lambda _: Reply({"error": "too many tokens "}, 413)
        with pytest.raises(UnavailableError, match="refuses even short texts"):
            embedded(encoder, ["a" * 10_000])
    assert len(server.asked) < 10
    with ScriptedServer(lambda _: Reply(b"", 413)) as server, pytest.raises(UnavailableError, match="a short text"):
        OpenAIEncoder("m", server.url).load()


# ---------------------------------------------------------------------------------------------------------------------
# Refusals and failures


def failure(answer: Callable[[Body], Reply]) -> PinyonError:
    """What a loaded encoder raises when the server begins to answer like this."""
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server)
        server.answer = answer
        with pytest.raises(PinyonError) as raised:
            embedded(encoder, ["a", "b"])
        message = raised.value.message.replace(server.url, "URL")
    raised.value.message = message
    return raised.value


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            Reply({"error": {"message": "Incorrect API key provided.", "type": "x"}}, 401),
            "URL/embeddings answers 401: Incorrect API key provided. Set models.api_key to the server's key.",
        ),
        (
            Reply({"error": "model 'm' not found"}, 404),
            "URL/embeddings answers 404: model 'm' not found. Is the URL complete? It often ends in /v1, and the model "
            "must have the name that the server calls it.",
        ),
        (
            Reply({"object": "error", "message": "dimensions is currently not supported", "code": 400}, 400),
            "URL/embeddings answers 400: dimensions is currently not supported.",
        ),
        (
            Reply({"detail": [{"loc": ["body", "model"], "msg": "field required"}]}, 422),
            "URL/embeddings answers 422: [{'loc': ['body', 'model'], 'msg': 'field required'}].",
        ),
        (
            Reply({"error": "failed to encode response: json: unsupported value: NaN"}, 500),
            "URL/embeddings answers 500: failed to encode response: json: unsupported value: NaN.",
        ),
        (Reply(b"<html>\n bad gateway", 502), "URL/embeddings answers 502: <html> bad gateway."),
        (Reply(b"", 503), "URL/embeddings answers 503: nothing more."),
        (Reply({"code": 7}, 500), "URL/embeddings answers 500: {'code': 7}."),
        (
            Reply(b"", 307, {"Location": "https://elsewhere/"}),
            "URL/embeddings answers 307: nothing more. It leads to https://elsewhere/: give that URL.",
        ),
    ],
)
def test_a_refusal_names_the_address_and_what_the_server_said(reply, message):
    error = failure(lambda _: reply)
    assert type(error) is UnavailableError
    assert error.message == message


def test_a_long_refusal_is_shortened():
    assert len(failure(lambda _: Reply(b"x" * 10_000, 500)).message) < 400


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0),
        ({"Retry-After": "soon"}, 1),
        ({}, 1),
    ],
)
def test_a_server_that_asks_to_wait_is_quoted(headers, seconds):
    error = failure(lambda _: Reply({"error": {"message": "Rate limit reached"}}, 429, headers))
    assert isinstance(error, ResourceExhaustedError)
    assert error.retry_after_s == seconds
    assert error.message == "URL/embeddings asks to wait: Rate limit reached"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "in another form than expected: .* Is the URL complete"),
        (b"", "in another form than expected"),
        (b"\xff\xfe", "in another form than expected"),
        ({"embeddings": []}, "missing required field `data`"),
        ([{"index": 0, "embedding": [[1.0]]}], "Expected `object`, got `array`"),  # llama.cpp without /v1
        ({"data": [{"embedding": [[1.0]]}]}, "Expected `float`, got `array`"),
        (
            {"data": [{"embedding": [1.0, None, 2.0]}] * 2},
            r"Expected `float`, got `null` - at `\$.data\[0\].embedding\[1\]",
        ),
        ({"data": [{"embedding": ["1.0"]}] * 2}, "Expected `float`, got `str`"),
        (b'{"data": [{"embedding": [NaN]}]}', "in another form"),
        ({"data": [{"embedding": [1, 2, 3]}]}, r"2 texts with vectors of \[0\]"),
        ({"data": []}, r"2 texts with vectors of \[\]"),
        ({"data": [{"index": 0, "embedding": [1, 2, 3]}] * 2}, r"2 texts with vectors of \[0, 0\]"),
        (
            {"data": [{"index": at, "embedding": [1, 2, 3]} for at in (1, 2)]},
            r"2 texts with vectors of \[1, 2\]",
        ),
        ({"data": [{"embedding": [1, 2]}] * 2}, r"vectors of \[2\] numbers, not 3 finite ones"),
        ({"data": [{"embedding": []}] * 2}, r"vectors of \[0\] numbers, not 3 finite ones"),
        ({"data": [{"embedding": "!?"}] * 2}, r"vectors of \[0\] numbers, not 3 finite ones"),
        ({"data": [{"embedding": [1, 2, 1e39]}] * 2}, r"vectors of \[3\] numbers, not 3 finite ones"),
        ({"data": [{"embedding": "AADAf" + "AAAwH8AAMB/"}] * 2}, r"vectors of \[3\] numbers, not 3 finite ones"),
    ],
)
def test_an_answer_that_is_none_is_never_used(body, reason):
    error = failure(lambda _: Reply(body))
    assert type(error) is UnavailableError
    assert re.search("^URL/embeddings answers .*" + reason, error.message), error.message


def test_a_server_without_vectors_is_not_loaded():
    with ScriptedServer(lambda _: Reply({"data": [{"embedding": []}]})) as server:
        encoder = OpenAIEncoder("m", server.url)
        with pytest.raises(UnavailableError, match="vectors of"):
            encoder.load()
        server.answer = plain
        encoder.load()
        assert encoder.dimension == 3


def test_a_server_that_is_gone_is_named():
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server)
    with pytest.raises(UnavailableError, match=f"{server.url}/embeddings cannot be reached: .*refused"):
        embedded(encoder, ["a"])
    with pytest.raises(UnavailableError, match="cannot be reached"):
        OpenAIEncoder("m", server.url).load()


@pytest.mark.parametrize("url", ["http://", "http://[", "nonsense", "ftp://127.0.0.1/v1"])
def test_an_address_that_is_none_is_an_error(url):
    with pytest.raises(UnavailableError, match="cannot be reached"):
        OpenAIEncoder("m", url).load()


def test_a_connection_that_was_closed_meanwhile_is_opened_again():
    def closing_plain(body: Body) -> Reply:
        reply = plain(body)
        reply.closes = True
        return reply

    with ScriptedServer(closing_plain) as server:
        encoder = loaded_encoder(server)
        for _ in range(3):
            embedded(encoder, ["a"])
    assert len({asked.connection for asked in server.asked}) == 3


def test_a_connection_that_breaks_twice_is_an_error():
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server)
        server.answer = lambda _: Reply(hangs_up=True)
        with pytest.raises(UnavailableError, match="cannot be reached: Server disconnected"):
            embedded(encoder, ["a"])
    assert len(server.asked) == 2


@pytest.mark.timeout(15)
def test_a_server_that_does_not_answer_is_not_waited_for():
    with ScriptedServer(plain) as server:
        encoder = loaded_encoder(server, timeout_s=0.2)

        def never(body: Body) -> Reply:
            server.released.wait()
            return plain(body)

        server.answer = never
        with pytest.raises(UnavailableError, match="does not answer in time"):
            embedded(encoder, ["a"])
        assert len(server.asked) == 1
        server.released.set()


@pytest.mark.parametrize("backend", [OpenAIEncoder, CohereReranker])
def test_a_missing_package_is_said_with_how_to_install_it(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(UnavailableError, match=r"pip install 'pinyon\[models\]'"):
        backend("m", "http://127.0.0.1:1").load()


# ---------------------------------------------------------------------------------------------------------------------
# Reranking


def relevance(document: str) -> float:
    return min(len(document) / 100, 1.0)


def cohere(body: Body) -> Reply:
    """Sorted by relevance, with documents, as Cohere, Jina and vLLM answer."""
    results = [
        {"index": at, "relevance_score": relevance(text), "document": {"text": text}}
        for at, text in enumerate(body["documents"])
    ]
    results.sort(key=lambda result: -float(str(result["relevance_score"])))
    return Reply({"id": "x", "results": results[: body["top_n"]], "usage": {"total_tokens": 5}})


def voyage(body: Body) -> Reply:
    return Reply({"object": "list", "data": cohere(body).body["results"]})  # type: ignore[index]


def tei(body: Body) -> Reply:
    if "texts" not in body:
        said = "Failed to deserialize the JSON body into the target type: missing field `texts` at line 1 column 99"
        return Reply({"error": said, "error_type": "Validation"}, 422)
    return Reply([{"index": at, "score": relevance(text)} for at, text in enumerate(body["texts"])])


def loaded_reranker(server: ScriptedServer) -> CohereReranker:
    reranker = CohereReranker("m", server.url)
    reranker.load()
    server.asked.clear()
    return reranker


def scored(reranker: Reranker, query: str, documents: Sequence[str]) -> list[float]:
    return list(reranker.run(reranker.prepare(query, documents, Truncate.END)))


@pytest.mark.parametrize("answer", [cohere, voyage, tei])
def test_scores_come_in_the_order_of_the_documents(answer):
    with ScriptedServer(answer) as server:
        assert scored(loaded_reranker(server), "q", ["a", "a" * 50, "a" * 20]) == [0.01, 0.5, 0.2]
    assert [asked.path for asked in server.asked] == ["/v1/rerank"]


def test_what_is_asked_is_cohere_or_tei():
    with ScriptedServer(cohere) as server:
        scored(loaded_reranker(server), "q", ["a", "b"])
    assert server.bodies == [{"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}]
    with ScriptedServer(tei) as server:
        scored(loaded_reranker(server), "q", ["a", "b"])
    assert server.bodies == [{"query": "q", "texts": ["a", "b"]}]


def test_each_query_is_asked_once_for_all_its_documents():
    with ScriptedServer(cohere) as server:
        reranker = loaded_reranker(server)
        first = reranker.prepare("first", ["a" * 10, "a" * 20], Truncate.END)
        second = reranker.prepare("second", ["a" * 30], Truncate.NONE)
        assert reranker.run([first[0], *second, first[1]]) == [0.1, 0.3, 0.2]
    assert [(body["query"], len(body["documents"])) for body in server.bodies] == [("first", 2), ("second", 1)]
    assert [piece.token_count for piece in first] == [3, 6]


def test_logits_become_scores_even_where_a_request_has_only_small_ones():
    """llama.cpp gives 7.7 for a document that answers and -11 for one that does not."""

    def llama(body: Body) -> Reply:
        logits = [-11.0 if "0x" in text else math.log(len(text)) for text in body["documents"]]
        return Reply({"results": [{"index": at, "relevance_score": logit} for at, logit in enumerate(logits)]})

    with ScriptedServer(llama) as server:
        assert scored(loaded_reranker(server), "q", ["a", "aa"]) == pytest.approx([0.5, 2 / 3])


def test_scores_a_rounding_error_outside_are_no_logits():
    def rounded(body: Body) -> Reply:
        results = [
            {"index": at, "relevance_score": score} for at, score in zip((0, 1), (1.0000001, -1e-9), strict=True)
        ]
        return Reply({"results": results[: len(body["documents"])]})

    with ScriptedServer(rounded) as server:
        assert scored(loaded_reranker(server), "q", ["a", "b"]) == [1.0, 0.0]


def test_many_documents_are_asked_for_in_parts():
    refusal = Reply({"error": "batch size 20 > maximum allowed batch size 8", "error_type": "Validation"}, 422)
    with ScriptedServer(lambda body: refusal if len(body["documents"]) > 8 else cohere(body)) as server:
        documents = ["a" * (number + 1) for number in range(20)]
        assert scored(loaded_reranker(server), "q", documents) == [relevance(document) for document in documents]
    assert [len(body["documents"]) for body in server.bodies] == [20, 10, 5, 5, 5, 5]


@pytest.mark.parametrize(
    "results",
    [
        [],
        [{"index": 0, "relevance_score": 0.5}],
        [{"index": 0, "relevance_score": 0.5}] * 2,
        [{"index": 0, "relevance_score": 0.5}, {"index": 2, "relevance_score": 0.5}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 1}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 1, "score": None}],
        [{"index": at, "relevance_score": 0.5} for at in (0, 1, 1)],
    ],
)
def test_scores_that_are_not_one_for_each_document_are_never_used(results):
    with ScriptedServer(cohere) as server:
        reranker = loaded_reranker(server)
        server.answer = lambda _: Reply({"results": results})
        with pytest.raises(UnavailableError, match=f"answers {len(results)} scores for 2 documents"):
            scored(reranker, "q", ["a", "b"])


def test_a_document_that_must_not_be_cut_is_refused():
    with ScriptedServer(cohere) as server:
        reranker = loaded_reranker(server)
        server.answer = lambda _: Reply({"error": "`inputs` must have less than 512 tokens. Given: 999"}, 413)
        with pytest.raises(InvalidArgumentError, match="must have less than 512 tokens"):
            reranker.run(reranker.prepare("q", ["a"], Truncate.NONE))
