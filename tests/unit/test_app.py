"""A whole server: settings reach what they are about, and the report is behind the key."""

import os
import subprocess
import sys
import urllib.error
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pinyon.app import maintenance_options, memory_limit_bytes
from pinyon.engine.database import Database
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.model.record import RecordBatch
from pinyon.settings import SearchSettings, ServerSettings
from pinyon.storage.local import LocalStorage
from tests.server_process import ServerProcess
from tests.unit.engine.searched_index import definition_of


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


_SEGMENTS = 120
_FILE_LIMITS = (100, 200)
"""At first, and as raised."""


def test_a_server_has_more_segments_than_the_files_that_it_may_open_at_first(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", index_count=1)
    make_segments(server.data_dir, port=server.port + 1)
    limited = ["sh", "-c", 'ulimit -Sn {} && ulimit -Hn {} && exec "$@"'.format(*_FILE_LIMITS), "sh"]
    server._command[:0] = limited
    with server:
        index = server.request("GET", "/indexes/i")
        for number in (0, _SEGMENTS - 1):
            query = {"namespace": f"n{number}", "vector": [1.0, number], "topK": 1}
            assert server.request("POST", "/query", query, host=index["host"])["matches"][0]["id"] == f"r{number}"
    assert index["status"]["ready"]
    assert "warning pinyon.app few files may be open limit=200 needed=4096" in server.log
    command = [*limited, sys.executable, "-m", "pinyon", "verify", "--data-dir", str(server.data_dir)]
    verified = subprocess.run(command, capture_output=True, text=True, check=True)
    assert verified.stdout.endswith(" 0 problem\n")


def make_segments(data_dir: Path, port: int) -> None:
    """An index with a segment for each of its namespaces."""
    options = MaintenanceOptions(build=BuildOptions(dedicated_rows_min=2))
    storage = LocalStorage(data_dir)
    database = Database(storage, new_salt=lambda: os.urandom(16), log_file_bytes_max=2**30, maintenance_options=options)
    with closing(database):
        index = database.create(definition_of(2, port=port))
        for number in range(_SEGMENTS):
            rows = np.array([[1, number], [-1, -number]], np.float32)
            index.write(UpsertRecords(f"n{number}", RecordBatch([f"r{number}", "opposite"], rows, None, None)))
        index.maintenance.flush()
    assert len(list(data_dir.rglob("*.seg"))) == _SEGMENTS
