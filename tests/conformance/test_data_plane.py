"""The data plane with every client over every transport: the same calls, one expectation."""

import json
from typing import Any

import pytest

from tests.conformance.expected import ERRORS, FILTERS, PARTS, REFUSED
from tests.conformance.harness import NPM, PYTHON, Client, run_script

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

RUNS = [(client, transport) for client in PYTHON for transport in ("rest", "grpc")] + [
    (client, "rest") for client in NPM
]
WRONG_KEY = ("401", "Unauthorized", "UNAUTHENTICATED", "API key", "API Key")


@pytest.mark.parametrize(("client", "transport"), RUNS, ids=[f"{client}-{transport}" for client, transport in RUNS])
def test_every_client_sees_the_same(client, transport, server):
    arguments = [transport] if client.language == "python" else []
    filters = json.dumps([[json.dumps(expression), expression] for expression, _ in FILTERS])
    prefix = f"{client.prefix}-{transport}"
    seen = run_script(client, "data_plane", server, *arguments, prefix, environment={"FILTERS": filters})

    errors = seen.pop("errors")
    duplicate, unknown = take_namespace_errors(client, seen)
    assert differences(seen, expected_of(client)) == {}
    assert {step: text for step, text in errors.items() if step in ERRORS and ERRORS[step] not in (text or "")} == {}
    assert [step for step in REFUSED if not errors[step]] == []
    assert errors["nothing_was_written"] == "{}"
    assert_wrong_key(errors["wrong_key"])
    assert_wrong_key(errors["wrong_key_control"])
    if client.major >= 7:
        assert unknown
    if client.major >= 8:
        assert duplicate


def take_namespace_errors(client: Client, seen: dict[str, Any]) -> tuple[str | None, str | None]:
    """What a client said of a namespace that exists already, and of one that does not exist."""
    duplicate = seen["by_filter"].pop("again") if client.major >= 8 else None
    unknown = seen["namespaces"].pop("unknown") if client.major >= 7 else None
    return duplicate, unknown


def expected_of(client: Client) -> dict[str, dict[str, Any]]:
    """The answers that a client can see: the older have fewer calls, and some calls of JavaScript return nothing."""
    hidden = {"upserted", "dry_run", "after_dry_run", "updated"} if client.language == "npm" else set()
    parts = {name: dict(steps) for name, steps in PARTS.items()}
    if client.language == "npm":
        del parts["across_namespaces"]
    if not client.knows_sparse_indexes:
        del parts["sparse"]
    if client.major < 8:
        del parts["by_filter"]
    if client.major < 7:
        del parts["namespaces"]
        hidden |= {"described", "gone"}
    return {
        name: {step: answer for step, answer in steps.items() if step not in hidden or name == "changes"}
        for name, steps in parts.items()
    }


def differences(seen: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Steps whose answers are not the expected ones, with both answers; a part or step that only one side has, too."""
    steps = {(part, step) for side in (seen, expected) for part, answers in side.items() for step in answers}
    both = {
        f"{part}.{step}": [side.get(part, {}).get(step, "missing") for side in (seen, expected)] for part, step in steps
    }
    return {name: {"seen": one, "expected": other} for name, (one, other) in both.items() if one != other}


def assert_wrong_key(text: str | None) -> None:
    """Each generation has words of its own for a key that the server does not take."""
    assert any(word in (text or "") for word in WRONG_KEY), text
