"""The local file system keeps the contract, and says what went wrong."""

import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pinyon.errors import UnavailableError
from pinyon.storage.local import LocalStorage
from pinyon.storage.protocol import BytesLike, Storage
from pinyon.testing.storage_suite import StorageSuite


class TestLocalStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path)


@pytest.mark.parametrize("bytes_per_call", [1, 3, 7, 100])
def test_append_goes_on_after_short_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_per_call: int
) -> None:
    def write_some(descriptor: int, buffers: Sequence[bytes | memoryview]) -> int:
        return os.write(descriptor, b"".join(buffers)[:bytes_per_call])

    monkeypatch.setattr(os, "writev", write_some)
    storage = LocalStorage(tmp_path)
    parts: list[BytesLike] = [b"", b"abc", b"", b"defghij", memoryview(b"k"), b""]
    file = storage.create("a")
    file.append(parts)
    assert file.size == 11
    assert bytes(storage.read("a")) == b"abcdefghijk"
    file.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_unavailable_and_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/dev/full")
    file = LocalStorage(tmp_path).open_append("a.log")
    with pytest.raises(UnavailableError, match=r"^a\.log: no space left on device$"):
        file.append([b"abc"])
    assert file.size == 0
    file.close()


def test_size_counts_what_was_written_before_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", _fails_at_second_call(OSError(28, "No space left on device")))
    file = LocalStorage(tmp_path).create("a")
    with pytest.raises(UnavailableError, match="no space left"):
        file.append([b"abcdef"])
    assert file.size == 2
    file.truncate(0)
    assert file.size == 0
    file.close()


def test_a_failed_sync_is_unavailable_and_names_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pinyon.storage.local._sync_content", fail)
    file = LocalStorage(tmp_path).create("a.log")
    with pytest.raises(UnavailableError, match=r"^a\.log: Input/output error$"):
        file.sync()
    file.close()


def test_a_missing_root_is_created_with_its_parents(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "a" / "b")
    assert storage.list_directory("") == []
    assert (tmp_path / "a" / "b").is_dir()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UnavailableError, match="File exists"):
        LocalStorage(tmp_path / "a")


def test_a_replacement_that_was_cut_short_does_not_hinder_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"left over")
    storage = LocalStorage(tmp_path)
    storage.replace("a", b"whole")
    assert bytes(storage.read("a")) == b"whole"
    assert storage.list_directory("") == ["a"]


def test_closing_twice_is_fine_and_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    file = LocalStorage(tmp_path).create("a")
    file.close()
    file.close()
    with pytest.raises(UnavailableError, match="a: Bad file descriptor"):
        file.append([b"x"])


def test_a_mapped_file_takes_a_descriptor_only_before_python_3_13(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.replace("a", b"whole")
    before = open_file_count()
    maps = [storage.read("a") for _ in range(20)]
    assert open_file_count() - before == (0 if sys.version_info >= (3, 13) else len(maps))
    storage.remove("a")
    assert {bytes(each) for each in maps} == {b"whole"}


def open_file_count() -> int:
    return len([*Path("/dev/fd").iterdir()])


def test_where_no_more_files_may_be_open_the_limit_is_told(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.replace("a", b"whole")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        for call in (storage.read, storage.open_append, storage.create):
            with pytest.raises(
                UnavailableError, match=rf"^a: too many open files: .* is {lowest_free} \(`ulimit -n`\)$"
            ):
                call("a")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert bytes(storage.read("a")) == b"whole"


def _fails_at_second_call(error: OSError) -> Callable[[int, Sequence[memoryview]], int]:
    calls: list[int] = []

    def write_then_fail(descriptor: int, buffers: Sequence[memoryview]) -> int:
        calls.append(descriptor)
        if len(calls) > 1:
            raise error
        return os.write(descriptor, buffers[0][:2])

    return write_then_fail
