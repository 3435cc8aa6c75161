"""Which models a server serves is its operator's choice, and an index keeps to the one that made its vectors."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conformance.curl import Answer, Endpoint, control_plane, data_plane
from tests.conformance.records_scenario import DENSE_MODEL, RECORDS
from tests.conformance.text_server import create_for_model, plain_search, search, upsert
from tests.server_process import ServerProcess

pytestmark = pytest.mark.conformance

ROCKETS = {"query": {"inputs": {"text": "spacewalk repair mission"}, "top_k": 1}}
BY_ID = {"query": {"id": "telescope", "top_k": 1}}
EMBED = {"model": DENSE_MODEL, "inputs": [{"text": "a"}], "parameters": {"input_type": "query"}}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a server with stand-ins: an index of texts."""
    data_dir = tmp_path_factory.mktemp("stand-ins") / "data"
    with ServerProcess(data_dir, arguments=["--models-stand-ins"]) as server:
        index = create_for_model(server, "texts", DENSE_MODEL)
        assert upsert(index, RECORDS).status == 201
        assert plain_search(index, ROCKETS)["hits"][0][0] == "telescope"
    return data_dir


def opened(server: ServerProcess) -> Endpoint:
    return data_plane(server, control_plane(server).send("GET", "/indexes/texts").json["host"])


def assert_refused(answer: Answer, status: int, *parts: str) -> None:
    assert answer.status == status, answer.text
    message = answer.json["error"]["message"]
    assert [part for part in parts if part not in message] == []


def test_without_a_choice_a_known_name_says_what_would_serve_it(tmp_path):
    with ServerProcess(tmp_path / "data") as server:
        control = control_plane(server)
        body = {"name": "x", "cloud": "aws", "region": "us-east-1"}
        create = body | {"embed": {"model": DENSE_MODEL, "field_map": {"text": "t"}}}
        advice = (DENSE_MODEL, "--models-backend", "--models-stand-ins")
        assert_refused(control.send("POST", "/indexes/create-for-model", create), 400, *advice)
        assert_refused(control.send("POST", "/embed", EMBED), 404, *advice)
        assert control.send("GET", f"/models/{DENSE_MODEL}").status == 404
        names = [info["model"] for info in control.send("GET", "/models").json["models"]]
        assert names == ["all-MiniLM-L6-v2", "bm25-english", "maxsim-MiniLM-L6-v2"]


def test_an_index_whose_model_is_gone_keeps_its_vectors(data_dir):
    with ServerProcess(data_dir) as server:
        index = opened(server)
        for answer in (search(index, ROCKETS), upsert(index, RECORDS[:1])):
            assert_refused(answer, 412, DENSE_MODEL, "--models-stand-ins")
        [[id, score, fields]] = plain_search(index, BY_ID)["hits"]
        assert (id, score, fields["category"]) == ("telescope", 1, "space")
        embed = control_plane(server).send("GET", "/indexes/texts").json["embed"]
        assert (embed["model"], embed["served_by"]) == (DENSE_MODEL, "all-MiniLM-L6-v2")


class OtherModel(BaseHTTPRequestHandler):
    """Embeds every text alike, at `/v1/embeddings` of OpenAI's API."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [{"index": index, "embedding": [1.0] * 1024} for index, _ in enumerate(asked["input"])]
        body = json.dumps({"data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def other_model() -> Iterator[str]:
    """The address of a server of embeddings."""
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherModel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_vectors_of_two_models_are_not_mixed(data_dir, other_model):
    """Under the name of the index's model another one serves now."""
    with ServerProcess(data_dir, arguments=["--models-backend", f"{DENSE_MODEL}=openai:m@{other_model}"]) as server:
        assert control_plane(server).send("POST", "/embed", EMBED).json["data"][0]["values"] == [1] * 1024
        index = opened(server)
        for answer in (search(index, ROCKETS), upsert(index, RECORDS[:1])):
            assert_refused(answer, 412, "vectors", "new index")
        assert plain_search(index, BY_ID)["hits"][0][0] == "telescope"


def test_a_model_that_cannot_be_reached_is_said_at_once(tmp_path):
    with ServerProcess(tmp_path / "data", arguments=["--models-backend", "mine=openai:m@http://127.0.0.1:9"]) as server:
        answer = control_plane(server).send("POST", "/embed", EMBED | {"model": "mine"})
        assert answer.status == 503, answer.text
        assert "127.0.0.1:9" in answer.json["error"]["message"]
