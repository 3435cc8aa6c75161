"""One server a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinyon.errors import FailedPreconditionError, UnavailableError
from pinyon.storage.lock import lock_directory


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with lock_directory(tmp_path), pytest.raises(FailedPreconditionError) as refused:
        lock_directory(tmp_path)
    assert refused.value.message == f"data directory {tmp_path} is in use by another Pinyon server (pid {os.getpid()})"


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    lock.release()
    lock.release()
    lock_directory(tmp_path).release()


def test_the_lock_ends_with_its_process_and_the_stale_file_is_no_hindrance(tmp_path: Path) -> None:
    program = f"""if True:
        import os, signal
        from pathlib import Path
        from pinyon.storage.lock import lock_directory
        lock_directory(Path({str(tmp_path)!r}))
        os.kill(os.getpid(), signal.SIGKILL)"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -9
    assert (tmp_path / "LOCK").read_text().strip().isdigit()
    lock_directory(tmp_path).release()


def test_the_file_holds_the_process_id_and_nothing_of_an_earlier_longer_one(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text("99999999999999\n")
    with lock_directory(tmp_path):
        assert (tmp_path / "LOCK").read_text() == f"{os.getpid()}\n"


def test_a_directory_that_cannot_be_locked_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be locked: No such file"):
        lock_directory(tmp_path / "no-such")
