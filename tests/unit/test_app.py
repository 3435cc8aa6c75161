"""A whole server: settings reach what they are about, and the report is behind the key."""

import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from pinyon.app import maintenance_options, memory_limit_bytes
from pinyon.settings import SearchSettings, ServerSettings
from tests.server_process import ServerProcess


def test_graphs_and_models_go_together() -> None:
    # Alone, usearch before onnxruntime ends the process: both bring a C++ library. simdjson, which the wire imports,
    # loads the system's first.
    done = subprocess.run([sys.executable, "-c", "import pinyon.app, usearch.index, onnxruntime"], check=False)
    assert done.returncode == 0


def test_half_of_the_machine_is_planned_with_where_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinyon.app.machine_memory_bytes", lambda: 1000)
    assert memory_limit_bytes(ServerSettings()) == 500
    assert memory_limit_bytes(ServerSettings(memory_limit="256MiB")) == 256 * 1024 * 1024
    monkeypatch.setattr("pinyon.app.machine_memory_bytes", lambda: None)
    assert memory_limit_bytes(ServerSettings()) is None


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (3, 3), (64, 4)])
def test_graphs_are_built_on_some_processors(monkeypatch: pytest.MonkeyPatch, processors: int, threads: int) -> None:
    monkeypatch.setattr("pinyon.app.processor_count", lambda: processors)
    assert maintenance_options(SearchSettings()).build_threads == threads
    assert maintenance_options(SearchSettings(build_threads=7)).build_threads == 7


def test_settings_reach_the_report_and_the_report_wants_a_key(tmp_path: Path) -> None:
    arguments = ["--memory-limit", "256MiB", "--search-target-recall", "0.9"]
    with ServerProcess(tmp_path / "data", index_count=2, api_keys=["secret"], arguments=arguments) as server:
        for name, tags in (("a", {}), ("b", {"pinyon-target-recall": "0.5"})):
            spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
            server.request("POST", "/indexes", {"name": name, "dimension": 2, "spec": spec, "tags": tags})
        report = server.request("GET", "/pinyon/report")
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.request("GET", "/pinyon/report", headers={"Api-Key": "wrong"})
        refused.value.close()
    assert refused.value.code == 401
    assert report["process"]["memory_limit_bytes"] == 256 * 1024 * 1024
    assert report["process"]["rss_anon_bytes"] > 0
    assert [(each["name"], each["recall"]["target"]) for each in report["indexes"]] == [("a", 0.9), ("b", 0.5)]
