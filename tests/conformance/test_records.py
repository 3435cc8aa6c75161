"""Text in, records found: integrated indexes and the Records API with every client that has them."""

import json
from typing import Any

import pytest

from tests.conformance.curl import Endpoint, control_plane
from tests.conformance.harness import NPM, PYTHON, Client, run_script
from tests.conformance.records_scenario import (
    DENSE_FIRST,
    DENSE_FOUND,
    DENSE_MODEL,
    DENSE_SEARCHES,
    DENSE_SETS,
    FIELDS,
    NAMESPACE,
    ODD_NAMESPACE,
    RECORDS,
    REFUSALS,
    SPARSE_FOUND,
    SPARSE_MODEL,
    TEXT_FIELD,
)
from tests.conformance.text_server import create_for_model, plain_search, scenario, upsert

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

CLIENTS = [*PYTHON, *(client for client in NPM if client.major >= 8)]

EMBED: dict[str, Any] = {
    "model": DENSE_MODEL,
    "metric": "cosine",
    "field_map": {"text": TEXT_FIELD},
    "read_parameters": {"input_type": "query", "truncate": "END"},
    "write_parameters": {"input_type": "passage", "truncate": "END"},
    "dimension": 1024,
}
STRICT = {
    "read_parameters": {"input_type": "query", "truncate": "NONE"},
    "write_parameters": {"input_type": "passage", "truncate": "NONE"},
}


@pytest.fixture(scope="module", name="given")
def _given(server) -> dict[str, Any]:
    """What the scripts are given."""
    return scenario(server)


@pytest.fixture(scope="module")
def indexes(server) -> dict[str, Endpoint]:
    """A dense and a sparse index with the records, made by raw requests."""
    models = {"dense": DENSE_MODEL, "sparse": SPARSE_MODEL}
    made = {kind: create_for_model(server, f"raw-{kind}", model) for kind, model in models.items()}
    for index in made.values():
        answer = upsert(index, RECORDS)
        assert (answer.status, answer.text) == (201, "")
    return made


@pytest.fixture(scope="module", name="raw")
def _raw(indexes, given) -> dict[str, dict[str, Any]]:
    """What raw requests find."""
    return searched(indexes, given)


def searched(indexes: dict[str, Endpoint], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every search of the scenario."""
    return {
        kind: {name: plain_search(index, body) for name, body in given[f"{kind}_searches"].items()}
        for kind, index in indexes.items()
    }


@pytest.fixture(scope="module", params=CLIENTS, ids=str, name="run")
def _run(request: pytest.FixtureRequest, server, given) -> tuple[Client, dict[str, Any]]:
    """A client, and what it saw from the creation of its indexes on."""
    client = request.param
    return client, run_script(client, "records", server, client.prefix, environment={"SCENARIO": json.dumps(given)})


def ids(answer: dict[str, Any]) -> list[str]:
    return [id for id, _, _ in answer["hits"]]


# What is found, whoever asks.


@pytest.mark.parametrize("name", DENSE_FOUND)
def test_a_dense_index_finds_what_is_meant(raw, name):
    assert ids(raw["dense"][name]) == DENSE_FOUND[name]


@pytest.mark.parametrize("name", DENSE_FIRST)
def test_the_best_answer_is_the_first(raw, name):
    assert ids(raw["dense"][name])[0] == DENSE_FIRST[name]


@pytest.mark.parametrize("name", DENSE_SETS)
def test_as_many_are_found_as_there_are(raw, name):
    found = ids(raw["dense"][name])
    assert set(found) == DENSE_SETS[name]
    assert len(found) == len(DENSE_SETS[name])


@pytest.mark.parametrize("name", SPARSE_FOUND)
def test_a_sparse_index_finds_words(raw, name):
    assert ids(raw["sparse"][name]) == SPARSE_FOUND[name]


def test_the_vector_of_a_text_finds_what_the_text_finds(raw):
    by_text, by_vector = raw["dense"]["prevention"], raw["dense"]["vector"]
    assert by_vector["hits"] == by_text["hits"]
    assert by_vector["usage"][1] is None, "nothing was embedded"


def test_scores_fall(raw):
    scores = {
        name: [score for _, score, _ in answer["hits"]] for found in raw.values() for name, answer in found.items()
    }
    assert {name: each for name, each in scores.items() if each != sorted(each, reverse=True)} == {}
    assert all(0 <= score <= 1 for score in scores["rerank"])


def test_hits_show_the_fields_that_were_asked_for(raw):
    dense = raw["dense"]
    assert [fields for _, _, fields in dense["orbit"]["hits"]] == [FIELDS["telescope"]]
    assert dense["star"] == dense["orbit"]
    assert [fields for _, _, fields in dense["one_field"]["hits"]] == [{"category": "space"}]
    assert [fields for _, _, fields in dense["no_fields"]["hits"]] == [{}]
    assert [fields for _, _, fields in dense["rerank_by_another"]["hits"]] == [{"category": "space"}]
    assert {id: fields for id, _, fields in dense["all"]["hits"]} == FIELDS


def test_usage_counts_what_was_done(raw):
    read, embedded, reranked = zip(*(answer["usage"] for answer in raw["dense"].values()), strict=True)
    assert all(units >= 1 for units in read)
    by_text = ["inputs" in DENSE_SEARCHES.get(name, {"query": ()})["query"] for name in raw["dense"]]
    assert [tokens is not None and tokens > 0 for tokens in embedded] == by_text
    with_rerank = ["rerank" in DENSE_SEARCHES.get(name, ()) for name in raw["dense"]]
    assert [units is not None for units in reranked] == with_rerank


# What each client sees.


def test_every_search_is_what_a_raw_request_finds(run, raw):
    _, seen = run
    assert {name: found for name, found in seen["dense"].items() if found != raw["dense"][name]} == {}
    assert {name: found for name, found in seen["sparse"].items() if found != raw["sparse"][name]} == {}
    assert (seen["dense"].keys(), seen["sparse"].keys()) == (raw["dense"].keys(), raw["sparse"].keys())


def test_definitions_say_how_text_is_embedded(run):
    client, seen = run
    definitions = seen["definitions"]
    assert definitions["dense"] == EMBED
    assert definitions["strict"] == EMBED | STRICT
    assert definitions["sparse_model"] == SPARSE_MODEL
    assert definitions["names"] == [f"{client.prefix}-{kind}" for kind in ("dense", "sparse", "strict")]
    if (client.language, client.major) != ("python", 5):
        assert definitions["described"] == EMBED


def test_a_record_of_text_is_a_record(run):
    _, seen = run
    life = seen["life"]
    assert life["fetched"] == {"rec3": FIELDS["rec3"]}
    assert life["dimension"] == 1024
    assert life["nearest"] == [["rec3", 1]]
    assert life["updated"] == [["rec3", 1, FIELDS["rec3"] | {"category": "health", "checked": True}]]
    [[id, score, fields]] = life["overwritten"]
    assert (id, fields) == ("rec3", {"source_text": "A train crosses the Alps."})
    assert 0 < score < 1
    assert sorted(life["deleted"]) == ["rec1", "rec2", "rec4"]
    assert life["vector"] == [["vector", 1, {"kind": "plain"}]]
    assert life["counted"] == 3


def test_namespaces_of_any_name(run):
    _, seen = run
    expected = {ODD_NAMESPACE: ["one"], "__default__": ["one"], "counted": [1, 1], "nowhere": []}
    assert seen["namespaces"] == expected


def test_a_search_sees_every_acknowledged_text(run):
    client, seen = run
    assert ("fresh" in seen) == (client.language == "python" and client.major >= 8)
    for (written, found, id), word in zip(seen.get("fresh", ()), ("apple", "train", "comet"), strict=False):
        assert found >= written > 0
        assert id == word


def test_an_index_of_vectors_gets_a_model(run):
    client, seen = run
    later = EMBED | {"field_map": {"text": "chunk"}}
    if client.version in ("7.3.0", "8.1.2", "9.1.0", "8.2.0"):
        configured = seen["configured"]
        assert configured["before"] is None
        assert configured["after"] == later
        assert configured["found"] == ["text", "vector"]
        changed = {"field_map": {"text": "body"}, "read_parameters": STRICT["read_parameters"]}
        assert configured["changed"] == later | changed
        assert configured["other_model"][0] == 400
        assert "model" in configured["other_model"][1]
    else:
        assert "configured" not in seen


def test_parameters_of_a_model_are_changed(run):
    client, seen = run
    assert ("reconfigured" in seen) == (client.version in ("10.2.0", "9.0.0"))
    if "reconfigured" in seen:
        assert seen["reconfigured"]["changed"] == EMBED | STRICT | {"read_parameters": EMBED["read_parameters"]}


def test_what_is_refused(run):
    client, seen = run
    refusals = dict(seen["refusals"])
    assert refusals.pop("nothing_was_written") == 0
    assert refusals.keys() == REFUSALS.keys()
    assert {name: refusal for name, refusal in refusals.items() if not is_as_expected(client, name, refusal)} == {}


def is_as_expected(client: Client, name: str, refusal: list[Any] | None) -> bool:
    """A refusal of the server has its status and text; JavaScript shows no text of a 404 or 409."""
    if refusal is None:
        return False
    status, text = refusal
    expected, part = REFUSALS[name]
    is_hidden = client.language == "npm" and status in (404, 409)
    return status == expected and (is_hidden or part in text)


def test_a_restart_keeps_everything(server, indexes, given, raw):
    """A stop without warning: definitions, records and searches are as they were."""
    before = everything(server, indexes)
    server.kill()
    server.start()
    assert everything(server, indexes) == before
    assert searched(indexes, given) == raw


def everything(server, indexes: dict[str, Endpoint]) -> dict[str, Any]:
    """Definitions in the words of each kind of version, and the records."""
    versions = ("2024-07", "2025-04", "2025-10", "2026-07")
    seen: dict[str, Any] = {
        version: control_plane(server, version).send("GET", "/indexes").json for version in versions
    }
    wanted = "&".join(f"ids={id}" for id in FIELDS)
    for kind, index in indexes.items():
        seen[kind] = index.send("GET", f"/vectors/fetch?namespace={NAMESPACE}&{wanted}").json["vectors"]
    assert len(seen["dense"]) == len(seen["sparse"]) == len(RECORDS)
    return seen
