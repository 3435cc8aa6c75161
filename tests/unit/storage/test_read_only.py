"""A folder opened for reading only is not changed, and not created."""

from pathlib import Path

import pytest

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.read_only import ReadOnlyStorage


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"content")
    storage = ReadOnlyStorage(tmp_path)
    assert storage.list_directory("a") == ["b"]
    assert bytes(storage.read("a/b")) == b"content"
    with pytest.raises(NotFoundError, match="a/c: no such file"):
        storage.read("a/c")


def test_whatever_would_change_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    storage = ReadOnlyStorage(tmp_path)
    for change in (
        lambda: storage.make_directory("b"),
        lambda: storage.create("b"),
        lambda: storage.open_append("a"),
        lambda: storage.replace("a", b""),
        lambda: storage.remove("a"),
        lambda: storage.remove_tree("a"),
    ):
        with pytest.raises(UnavailableError, match="for reading only"):
            change()
    storage.sync_directory("")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]


def test_a_missing_folder_is_empty_and_stays_missing(tmp_path: Path) -> None:
    storage = ReadOnlyStorage(tmp_path / "none")
    assert storage.list_directory("") == []
    assert list(tmp_path.iterdir()) == []
