"""Every example of Pinecone's page "Upsert data", with every Python client, over REST and gRPC.

The failures expected here are raised inside the client, before it asks the server: no server can change them.
"""

import pytest

from tests.conformance.harness import NPM, PYTHON, Client, python_clients, run_script

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

RECORDS = {
    "A": {"id": "A", "values": [0.1] * 8, "metadata": {"genre": "comedy", "year": 2020}},
    "B": {"id": "B", "values": [0.2] * 8, "metadata": {"genre": "documentary", "year": 2019}},
    "C": {"id": "C", "values": [0.3] * 8, "metadata": {"genre": "comedy", "year": 2019}},
    "D": {"id": "D", "values": [0.4] * 8, "metadata": {"genre": "drama"}},
}
TEXTS = {
    "rec1": "Apples are a great source of dietary fiber, which supports digestion and helps maintain a healthy gut.",
    "rec2": "Apples originated in Central Asia and have been cultivated for thousands of years, with over 7,500 "
    "varieties available today.",
    "rec3": "Rich in vitamin C and other antioxidants, apples contribute to immune health and may reduce the risk of "
    "chronic diseases.",
    "rec4": "The high fiber content in apples can also help regulate blood sugar levels, making them a favorable snack "
    "for people with diabetes.",
}
CATEGORIES = {
    "rec1": "digestive system",
    "rec2": "cultivation",
    "rec3": "immune system",
    "rec4": "endocrine system",
}
FRAME = {"count": 300, "sparse": {"indices": [7, 1007], "values": [0.5, 1.5]}}
DATASET = "quora_all-MiniLM-L6-bm25"


RUNS = [(client, kind) for client in PYTHON for kind in ("server", "tls_server")]
RUN_IDS = [f"{client}-{'tls' if kind == 'tls_server' else 'plaintext'}" for client, kind in RUNS]


@pytest.fixture(scope="module", params=RUNS, ids=RUN_IDS, name="page")
def _page(request: pytest.FixtureRequest):
    """The page run from top to bottom: the client, and what it saw at each example."""
    client, kind = request.param
    return client, run_script(client, "seed", request.getfixturevalue(kind), client.prefix)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_records_with_metadata(page, transport):
    _, seen = page
    assert seen[f"records_{transport}"] == RECORDS


@pytest.mark.parametrize("example", ["batches_grpc", "parallel_rest", "parallel_grpc"])
def test_ten_thousand_records_arrive(page, example):
    _, seen = page
    assert seen[example] == 10_000


def test_records_of_text(page):
    client, seen = page
    texts = seen["text_records"]
    assert {id: fields for id, _, fields in texts["found"]} == {
        id: {"source_text": text, "category": CATEGORIES[id]} for id, text in TEXTS.items()
    }
    assert texts["found"][0][0] == "rec4"
    assert (texts["positional"] is None) == (client.major < 9)
    if client.major >= 9:
        assert "positional argument" in texts["positional"]


def test_grpc_async_req_is_gone_from_version_9_on(page):
    client, seen = page
    assert ("async_req_grpc" in seen) == (client.major >= 9)
    if client.major >= 9:
        assert "async_req" in seen["async_req_grpc"]


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_data_frames_of_lists(page, transport):
    _, seen = page
    assert seen[f"frames_{transport}"]["lists"] == FRAME


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("metadata", ["dict", "none"])
def test_data_frames_of_arrays(page, transport, metadata):
    client, seen = page
    assert_frame(client, transport, metadata, seen[f"frames_{transport}"][f"numpy_and_{metadata}"])


def assert_frame(client: Client, transport: str, metadata: str, outcome) -> None:
    """Frames whose cells are arrays: up to 8 they do, but for missing metadata over REST; 9 and 10 refuse them."""
    if client.major >= 9:
        assert "truth value of an array" in outcome
    elif transport == "rest" and metadata == "none":
        assert "Invalid type for variable" in outcome or "metadata" in outcome
    else:
        assert {name: outcome[name] for name in FRAME} == FRAME


@pytest.mark.parametrize("client", [client for client in PYTHON if client.version in ("6.0.2", "10.2.0")], ids=str)
def test_a_data_set_of_a_catalogue(client, server, tmp_path):
    seen = run_script(
        client,
        "dataset",
        server,
        f"{client.prefix}-set",
        environment={"DATASETS_CATALOG_BASEPATH": str(tmp_path)},
    )
    assert seen["listed"] == [DATASET, f"{DATASET}-with-metadata"]
    for transport in ("rest", "grpc"):
        assert_frame(client, transport, "none", seen[f"without_metadata_{transport}"])
        assert_frame(client, transport, "dict", seen[f"with_metadata_{transport}"])
    if client.major < 9:
        assert seen["with_metadata_rest"]["metadata"] == {"text": "question 7"}
        assert seen["without_metadata_grpc"]["metadata"] is None


LSN_READERS = [(client, "rest") for client in python_clients(since=8)] + [(Client("python", "8.1.2"), "grpc")]


@pytest.mark.parametrize(("client", "transport"), LSN_READERS, ids=[f"{c}-{t}" for c, t in LSN_READERS])
def test_a_read_sees_every_acknowledged_write(client, server, transport):
    seen = run_script(client, "freshness", server, transport, f"{client.prefix}-{transport}")
    written = [step["written"] for step in seen]
    assert written == sorted(set(written)), "log sequence numbers of writes grow"
    assert all(step["queried"] >= step["written"] for step in seen[:-1])
    assert [step["nearest"] for step in seen[:-1]] == [f"r{number}" for number in range(5)]


@pytest.mark.parametrize("client", python_clients(since=8), ids=str)
def test_many_upserts_at_once(client, server):
    seen = run_script(client, "concurrency", server, client.prefix)
    assert seen == {"async": [2000, 2000], "batched_rest": [2000, 2000], "batched_grpc": [2000, 2000]}


@pytest.mark.parametrize("client", NPM, ids=str)
def test_records_from_javascript(client, server):
    seen = run_script(client, "seed", server, client.prefix)
    assert seen == {"records": RECORDS, "batches": 10_000, "parallel": 10_000}
