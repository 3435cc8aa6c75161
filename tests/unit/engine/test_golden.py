"""Data directories of every released format open, and hold what they held."""

import json
import shutil
from pathlib import Path

import pytest

from pinyon.engine.findings import Kind
from pinyon.engine.verification import verify
from pinyon.storage.local import LocalStorage
from tests.golden.make import GOLDEN, content_of
from tests.unit.engine.data_directories import open_database

FOLDERS = sorted(path for path in GOLDEN.iterdir() if (path / "data").is_dir())


def test_there_is_one_of_the_present_format() -> None:
    assert [folder.name for folder in FOLDERS] == ["v1"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_directory_opens_and_holds_what_it_held(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    storage = LocalStorage(tmp_path / "data")
    assert [finding for finding in verify(storage) if finding.kind is Kind.PROBLEM] == []
    database = open_database(storage)
    found, expected = content_of(database), json.loads((folder / "expected.json").read_text())
    for index_name, namespaces in expected.items():
        for name, content in namespaces.items():
            assert found[index_name][name]["records"] == content["records"]
            found_ids = [id_ for id_, _ in found[index_name][name]["nearest"]]
            assert found_ids == [id_ for id_, _ in content["nearest"]]
            scores = [score for _, score in content["nearest"]]
            assert [score for _, score in found[index_name][name]["nearest"]] == pytest.approx(scores)
    database.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_directory_still_has_every_kind_of_file(folder: Path) -> None:
    suffixes = {path.suffix for path in (folder / "data").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".log", ".seg", ".dead", ".graph"}
