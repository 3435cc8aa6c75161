"""`x-pinyon-target-recall`, over REST and gRPC: it reaches the search, and what is no recall is refused."""

import numpy as np
import pytest

from pinyon.engine.index import Index
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.record import Match
from pinyon.service.requests import Query
from tests.codecs import Grpc, GrpcError, Rest, data_plane, ok, refused
from tests.grpc_stubs import messages

pb = messages()
HEADER = "x-pinyon-target-recall"
PATHS = ["/query", "/records/namespaces/n/search"]
BODIES = {
    "/query": {"topK": 1, "vector": [1, 0]},
    "/records/namespaces/n/search": {"query": {"top_k": 1, "vector": {"values": [1, 0]}}},
}
WRONG = ["", "0", "1.5", "nan", "most", "-1", "97%", "1" * 5000, "0.5, 1", "1, 1"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What searches were asked to find."""
    recalls: list[float] = []

    def search(self: Index, view: View, plan: SearchPlan, *, cost_max_us: float | None) -> list[Match]:
        recalls.append(plan.target_recall)
        return []

    monkeypatch.setattr(Index, "search", search)
    return recalls


@pytest.mark.parametrize("path", PATHS)
def test_rest(asked: list[float], path: str) -> None:
    rest = Rest(data_plane())
    for value in ("1", "0.5"):
        ok(rest.send("POST", path, BODIES[path], {HEADER: value}))
    ok(rest.send("POST", path, BODIES[path]))
    assert asked == [1.0, 0.5, 0.97]


def test_grpc(asked: list[float]) -> None:
    grpc = Grpc(data_plane())
    for headers in ({HEADER: "1"}, {HEADER: "0.5"}, {}):
        grpc.call("Query", pb.QueryRequest(top_k=1, vector=[1, 0]), headers)
    assert asked == [1.0, 0.5, 0.97]


def test_without_a_header_the_index_decides(asked: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "target_recall", 0.6)
    plane = data_plane()
    plane.query(Query("", 1, np.ones(2, np.float32)))
    plane.query(Query("", 1, np.ones(2, np.float32), target_recall=0.7))
    assert asked == [0.6, 0.7]


@pytest.mark.parametrize("value", WRONG)
def test_rest_refuses_what_is_no_recall(asked: list[float], value: str) -> None:
    answer = Rest(data_plane()).send("POST", "/query", BODIES["/query"], {HEADER: value})
    refused(answer, f"{HEADER} must be a number above 0 and at most 1, and is {value[:40]!r}")
    assert len(answer.message) < 200
    assert asked == []


@pytest.mark.parametrize("value", WRONG)
def test_a_search_of_records_refuses_what_is_no_recall(asked: list[float], value: str) -> None:
    answer = Rest(data_plane()).send("POST", PATHS[1], BODIES[PATHS[1]], {HEADER: value})
    assert answer.status == 400
    assert HEADER in str(answer.body)
    assert asked == []


@pytest.mark.parametrize("value", WRONG)
def test_grpc_refuses_what_is_no_recall(asked: list[float], value: str) -> None:
    with pytest.raises(GrpcError, match=HEADER) as caught:
        Grpc(data_plane()).call("Query", pb.QueryRequest(top_k=1, vector=[1, 0]), {HEADER: value})
    assert caught.value.code == 3
    assert asked == []
