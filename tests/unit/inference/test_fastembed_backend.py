"""Models run by fastembed, from folders: the packaged all-MiniLM-L6-v2, and tiny ones whose outputs are known."""

import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import pytest
from fastembed import TextEmbedding
from tokenizers import Tokenizer

from pinyon.errors import InvalidArgumentError, UnavailableError
from pinyon.inference.fastembed_backend import FastembedDense, FastembedReranker, FastembedSparse
from pinyon.inference.fastembed_weights import Weights
from pinyon.inference.minilm import MODEL, TOKENIZER, read_packaged
from pinyon.inference.protocol import (
    DenseEncoder,
    EncodeOptions,
    InputType,
    Reranker,
    SparseEncoder,
    Truncate,
)
from pinyon.model.record import Float32s
from tests.unit.inference.tiny_models import (
    VOCABULARY,
    write_cross_encoder,
    write_dense_model,
    write_splade_model,
)

QUERY = EncodeOptions(input_type=InputType.QUERY)
PASSAGE = EncodeOptions(input_type=InputType.PASSAGE)
TEXTS = ["The quick brown fox", "jumps over the lazy dog, and over many other animals that sleep", "vector databases"]
E5_ROWS = {"query": [1.0, 0, 0, 0], "passage": [0, 1.0, 0, 0], "one": [0, 0, 2.0, 0], "two": [0, 0, 0, 2.0]}


Backend = TypeVar("Backend", FastembedDense, FastembedSparse, FastembedReranker)


def loaded(backend: Backend) -> Backend:
    backend.load()
    return backend


def embedded(encoder: DenseEncoder, texts: Sequence[str], options: EncodeOptions) -> Float32s:
    return np.stack(encoder.run(encoder.prepare(texts, options)))


def e5(folder: Path, *, max_tokens: int = 16) -> FastembedDense:
    write_dense_model(folder, E5_ROWS, max_tokens=max_tokens)
    (folder / "model.onnx_data").write_bytes(b"")
    return loaded(FastembedDense("multilingual-e5-large", folder=str(folder)))


def bge_reranker(folder: Path, weights: dict[str, float], *, max_tokens: int = 16) -> FastembedReranker:
    write_cross_encoder(folder, weights, max_tokens=max_tokens)
    (folder / "onnx" / "model.onnx_data").write_bytes(b"")
    return loaded(FastembedReranker("bge-reranker-v2-m3", folder=str(folder)))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# ---------------------------------------------------------------------------------------------------------------------
# Dense


@pytest.fixture(scope="module")
def minilm_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm")
    (folder / "model.onnx").write_bytes(read_packaged(MODEL))
    (folder / "tokenizer.json").write_bytes(read_packaged(TOKENIZER))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256, "pad_token": "[PAD]"}))
    return folder


def direct_vector(folder: Path, text: str) -> Float32s:
    """The mean of the last hidden states at unit length, by onnxruntime alone."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = np.array([tokenizer.encode(text).ids[:256]])
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    mean = session.run(["last_hidden_state"], feed)[0][0].mean(axis=0)
    vector: Float32s = mean / np.linalg.norm(mean)
    return vector


def test_vectors_are_those_of_the_weights(minilm_folder):
    encoder: DenseEncoder = loaded(
        FastembedDense("sentence-transformers/all-MiniLM-L6-v2", folder=str(minilm_folder), threads=1)
    )
    vectors = embedded(encoder, TEXTS, PASSAGE)
    assert encoder.dimension == 384
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    expected = np.stack([direct_vector(minilm_folder, text) for text in TEXTS])
    assert (vectors * expected).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_e5_gets_its_prefixes_and_unit_length(tmp_path):
    encoder = e5(tmp_path)
    assert encoder.dimension == 4
    # Of [CLS] query : one [SEP] the mean is (1, 0, 2, 0) / 5; fastembed leaves it at that length.
    assert embedded(encoder, ["one"], QUERY)[0] == pytest.approx(np.array([1, 0, 2, 0]) / math.sqrt(5))
    assert embedded(encoder, ["one"], PASSAGE)[0] == pytest.approx(np.array([0, 1, 2, 0]) / math.sqrt(5))


def test_a_vector_does_not_depend_on_the_batch(tmp_path):
    encoder = e5(tmp_path)
    pieces = encoder.prepare(["one two one two one", "one", "two one"], QUERY)
    together = encoder.run(pieces)
    assert np.stack(together) == pytest.approx(np.stack([encoder.run([piece])[0] for piece in pieces]))


def test_tokens_are_counted_as_the_model_reads_them(tmp_path):
    assert [piece.token_count for piece in e5(tmp_path).prepare(["one", "one two"], QUERY)] == [5, 6]


def test_a_long_text_loses_its_end(tmp_path):
    encoder = e5(tmp_path, max_tokens=6)  # [CLS] query : _ _ [SEP]
    cut = encoder.prepare(["one two two two"], QUERY)
    assert cut[0].token_count == 6
    assert encoder.run(cut)[0] == pytest.approx(embedded(encoder, ["one two"], QUERY)[0])


def test_a_long_text_loses_its_start_but_not_the_prefix(tmp_path):
    encoder = e5(tmp_path, max_tokens=6)
    options = EncodeOptions(input_type=InputType.QUERY, truncate=Truncate.START)
    cut = encoder.prepare(["two two two two one one"], options)
    assert cut[0].token_count == 6
    assert encoder.run(cut)[0] == pytest.approx(embedded(encoder, ["one one"], QUERY)[0])


def test_a_long_text_that_must_not_be_cut_is_refused(tmp_path):
    encoder = e5(tmp_path, max_tokens=6)
    options = EncodeOptions(input_type=InputType.QUERY, truncate=Truncate.NONE)
    assert encoder.prepare(["one two"], options)[0].token_count == 6
    with pytest.raises(InvalidArgumentError, match=r"input with 7 tokens at position 1, .* token limit of 6 "):
        encoder.prepare(["one", "one two one"], options)


@pytest.mark.parametrize(("truncate", "kept"), [(Truncate.END, "one"), (Truncate.START, "two")])
def test_of_a_very_long_text_only_a_part_is_split(tmp_path, monkeypatch, truncate, kept):
    encoder = e5(tmp_path, max_tokens=6)
    split, longest = Weights.split, 0

    def watched(weights: Weights, text: str) -> Any:
        nonlocal longest
        longest = max(longest, len(text))
        return split(weights, text)

    monkeypatch.setattr(Weights, "split", watched)
    text = "one " * 50_000 + "two " * 50_000
    options = EncodeOptions(input_type=InputType.QUERY, truncate=truncate)
    expected = embedded(encoder, [f"{kept} {kept}"], QUERY)[0]
    assert embedded(encoder, [text], options)[0] == pytest.approx(expected)
    assert longest == 4096 + len("query: ")


@pytest.mark.parametrize("truncate", list(Truncate))
def test_a_request_may_take_fewer_tokens(tmp_path, truncate):
    encoder = e5(tmp_path)
    options = EncodeOptions(input_type=InputType.QUERY, truncate=truncate, max_tokens=5)
    assert encoder.prepare(["one"], options)[0].token_count == 5
    if truncate is Truncate.NONE:
        with pytest.raises(InvalidArgumentError):
            encoder.prepare(["one two"], options)
    else:
        assert encoder.prepare(["one two"], options)[0].token_count == 5


def test_no_request_may_take_more_tokens_than_the_model(tmp_path):
    options = EncodeOptions(input_type=InputType.QUERY, max_tokens=2048)
    assert e5(tmp_path).prepare(["one " * 100], options)[0].token_count == 16


def test_half_a_surrogate_pair_is_the_callers_mistake(tmp_path):
    with pytest.raises(InvalidArgumentError, match="not valid Unicode"):
        e5(tmp_path).prepare(["\ud800"], QUERY)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_a_vector_that_says_nothing_is_an_error(tmp_path, value):
    write_dense_model(tmp_path, {"[UNK]": [1.0, 1.0], "bad": [value, value]})
    (tmp_path / "model.onnx_data").write_bytes(b"")
    encoder = loaded(FastembedDense("multilingual-e5-large", folder=str(tmp_path)))
    assert len(embedded(encoder, ["unheard"], QUERY)) == 1
    with pytest.raises(UnavailableError, match=r"intfloat/multilingual-e5-large failed: .* zero or not finite"):
        embedded(encoder, ["bad"], QUERY)


# ---------------------------------------------------------------------------------------------------------------------
# Sparse


def test_splade_weights_are_the_largest_of_each_word_over_the_text(tmp_path):
    rows = {"one": {"one": 3.0, "good": 1.0, "bad": -5.0}, "two": {"one": 1.0, "two": 2.0}}
    write_splade_model(tmp_path, rows)
    encoder: SparseEncoder = loaded(FastembedSparse("pinecone-sparse-english-v0", folder=str(tmp_path)))
    embedding, other = encoder.run(encoder.prepare(["one two", "six"], QUERY))
    assert dict(zip(embedding.tokens, embedding.vector.values.tolist(), strict=True)) == pytest.approx(
        {"good": math.log1p(1), "one": math.log1p(3), "two": math.log1p(2)}
    )
    assert embedding.vector.indices.tolist() == [VOCABULARY[token] for token in embedding.tokens]
    assert embedding.vector.indices.dtype == np.uint32
    assert embedding.vector.values.dtype == np.float32
    assert (other.tokens, len(other.vector.indices)) == ((), 0)


def test_padding_gives_no_weights(tmp_path):
    write_splade_model(tmp_path, {"[PAD]": {"bad": 9.0}, "one": {"one": 1.0}})
    encoder = loaded(FastembedSparse("pinecone-sparse-english-v0", folder=str(tmp_path)))
    short, _ = encoder.run(encoder.prepare(["one", "one one one one"], PASSAGE))
    assert short.tokens == ("one",)


def test_a_weight_that_is_no_number_is_an_error(tmp_path):
    write_splade_model(tmp_path, {"bad": {"one": math.inf}})
    encoder = loaded(FastembedSparse("pinecone-sparse-english-v0", folder=str(tmp_path)))
    with pytest.raises(UnavailableError, match="not finite"):
        encoder.run(encoder.prepare(["bad"], QUERY))


# ---------------------------------------------------------------------------------------------------------------------
# Reranking

WEIGHTS = {"good": 2.0, "bad": -3.0, "query": 50.0}


def scores(reranker: Reranker, query: str, documents: Sequence[str], truncate: Truncate = Truncate.END) -> list[float]:
    return list(reranker.run(reranker.prepare(query, documents, truncate)))


def test_scores_are_the_sigmoid_of_the_logits(tmp_path):
    reranker: Reranker = bge_reranker(tmp_path, WEIGHTS)
    documents = ["good", "bad one two three four", "one", "good good good"]
    expected = [sigmoid(2), sigmoid(-3), 0.5, sigmoid(6)]
    assert scores(reranker, "query good", documents) == pytest.approx(expected)


def test_extreme_logits_stay_between_nought_and_one(tmp_path):
    reranker = bge_reranker(tmp_path, {"good": 5000.0, "bad": -5000.0})
    assert scores(reranker, "one", ["good", "bad"]) == [1.0, 0.0]


def test_pairs_of_many_requests_are_scored_together(tmp_path):
    reranker = bge_reranker(tmp_path, WEIGHTS)
    pieces = reranker.prepare("one", ["good"], Truncate.END) + reranker.prepare("two three", ["bad"], Truncate.END)
    assert [piece.token_count for piece in pieces] == [5, 6]
    assert reranker.run(pieces) == pytest.approx([sigmoid(2), sigmoid(-3)])


# Of ten tokens, three are [CLS] and twice [SEP]: seven are left for query and document.
def test_a_long_document_loses_its_end_or_its_start(tmp_path):
    reranker = bge_reranker(tmp_path, WEIGHTS, max_tokens=10)
    document = "good one one one one one one bad"
    assert scores(reranker, "two", [document]) == pytest.approx([sigmoid(2)])
    assert scores(reranker, "two", [document], Truncate.START) == pytest.approx([sigmoid(-3)])


def test_a_long_query_leaves_a_quarter_to_the_document(tmp_path):
    reranker = bge_reranker(tmp_path, WEIGHTS, max_tokens=10)
    pieces = reranker.prepare("one " * 50, ["good good bad"], Truncate.END)
    assert [piece.token_count for piece in pieces] == [10]
    assert reranker.run(pieces) == pytest.approx([sigmoid(4)])


def test_pairs_that_must_not_be_cut_are_refused_in_pinecones_words(tmp_path):
    reranker = bge_reranker(tmp_path, WEIGHTS, max_tokens=10)
    fitting = reranker.prepare("one two three four five six", ["good"], Truncate.NONE)
    assert fitting[0].token_count == 10
    with pytest.raises(InvalidArgumentError) as raised:
        reranker.prepare("one two three four five six", ["good", "good good"], Truncate.NONE)
    assert raised.value.message == (
        "Request contains a query+document pair with 11 tokens, which exceeds the maximum token limit of 10 for each "
        'query+document pair. Consider setting "parameters.truncate" to "END" to truncate long query+document pairs.'
    )


def test_bge_reranker_takes_no_more_than_pinecone_though_its_tokenizer_would(tmp_path):
    reranker = bge_reranker(tmp_path, WEIGHTS, max_tokens=8192)
    assert reranker.prepare("one", ["good " * 5000], Truncate.END)[0].token_count == 1024


def test_a_score_that_is_no_number_is_an_error(tmp_path):
    reranker = bge_reranker(tmp_path, {"bad": math.nan})
    with pytest.raises(UnavailableError, match="not finite"):
        scores(reranker, "one", ["bad"])


# ---------------------------------------------------------------------------------------------------------------------
# Files and what is missing


def test_the_fingerprint_is_that_of_the_files(tmp_path):
    first, other = e5(tmp_path / "first"), e5(tmp_path / "other")
    assert first.fingerprint == other.fingerprint
    assert first.fingerprint.startswith("fastembed:intfloat/multilingual-e5-large:")
    assert not any(character.isspace() for character in first.fingerprint)
    for name in ("model.onnx_data", "tokenizer_config.json"):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        changed = tmp_path / name / name
        changed.write_bytes(changed.read_bytes() + b" ")
        assert loaded(FastembedDense("multilingual-e5-large", folder=str(tmp_path / name))).fingerprint not in (
            "",
            first.fingerprint,
        )


def test_missing_files_are_named_all_at_once(tmp_path):
    e5(tmp_path)
    (tmp_path / "model.onnx_data").unlink()
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UnavailableError) as raised:
        FastembedDense("multilingual-e5-large", folder=str(tmp_path)).load()
    assert raised.value.message == (
        f"intfloat/multilingual-e5-large cannot be loaded from {tmp_path}: it has no model.onnx_data, tokenizer.json"
    )


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UnavailableError, match=r"it has no onnx/model.onnx, onnx/model.onnx_data, tokenizer.json"):
        FastembedReranker("bge-reranker-v2-m3", folder=str(tmp_path / "typo")).load()
    assert not (tmp_path / "typo").exists()


def test_a_file_that_is_no_model_is_an_error_that_names_the_folder(tmp_path):
    write_splade_model(tmp_path, {"one": {"one": 1.0}})
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    encoder = FastembedSparse("pinecone-sparse-english-v0", folder=str(tmp_path))
    with pytest.raises(UnavailableError, match=f"Splade_PP_en_v1 cannot be loaded from {tmp_path}: .*[Pp]rotobuf"):
        encoder.load()


def test_a_folder_may_be_mended_and_loaded_again(tmp_path):
    encoder = FastembedDense("multilingual-e5-large", folder=str(tmp_path))
    with pytest.raises(UnavailableError):
        encoder.load()
    e5(tmp_path)
    assert embedded(loaded(encoder), ["one"], QUERY).shape == (1, 4)


@pytest.mark.parametrize("backend", [FastembedDense, FastembedSparse, FastembedReranker])
def test_a_name_that_fastembed_does_not_know_is_refused_with_those_it_knows(backend, tmp_path):
    with pytest.raises(UnavailableError, match=r"of fastembed has no nobody/nothing, only .*, "):
        backend("nobody/nothing", folder=str(tmp_path)).load()


def test_a_model_that_embeds_queries_in_its_own_way_is_refused(tmp_path):
    write_dense_model(tmp_path, E5_ROWS)
    shutil.copytree(tmp_path, tmp_path / "onnx")
    (tmp_path / "onnx" / "model.onnx_data").write_bytes(b"")
    with pytest.raises(UnavailableError, match="jina-embeddings-v3 embeds queries in a way of its own"):
        FastembedDense("jinaai/jina-embeddings-v3", folder=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("backend", "name", "advice"),
    [
        (FastembedDense, "llama-text-embed-v2", "llama-text-embed-v2=openai:MODEL@URL"),
        (FastembedReranker, "cohere-rerank-3.5", "cohere-rerank-3.5=cohere:"),
        (FastembedReranker, "pinecone-rerank-v0", "bge-reranker-v2-m3"),
    ],
)
def test_names_without_public_weights_are_refused_with_what_can_serve_them(backend, name, advice):
    with pytest.raises(InvalidArgumentError, match=f"fastembed has no weights for {name}.*{advice}"):
        backend(name)


@pytest.mark.parametrize("backend", [FastembedDense, FastembedSparse, FastembedReranker])
def test_a_missing_package_is_said_with_how_to_install_it(backend, monkeypatch):
    for module in ("fastembed", "fastembed.rerank.cross_encoder"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError, match=r"pip install 'pinyon\[models\]'"):
        backend("some/model").load()


def test_without_a_network_the_error_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnavailableError) as raised:
        FastembedReranker("bge-reranker-v2-m3", cache_dir=str(tmp_path)).load()
    assert "cannot be downloaded from onnx-community/bge-reranker-v2-m3-ONNX on Hugging Face" in raised.value.message
    assert "fetch onnx/model.onnx, onnx/model.onnx_data, tokenizer.json, tokenizer_config.json" in raised.value.message
    assert "choose fastembed:FOLDER" in raised.value.message


def test_a_download_is_tried_once_and_into_the_folder_that_was_given(tmp_path, monkeypatch):
    e5(tmp_path / "weights")
    asked = []

    def download_model(description, cache_dir, retries):
        asked.append((description.model, cache_dir, retries))
        return tmp_path / "weights"

    monkeypatch.setattr(TextEmbedding, "download_model", download_model)
    encoder = loaded(FastembedDense("multilingual-e5-large", cache_dir=str(tmp_path / "cache"), threads=1))
    assert asked == [("intfloat/multilingual-e5-large", str(tmp_path / "cache"), 1)]
    assert encoder.dimension == 4
