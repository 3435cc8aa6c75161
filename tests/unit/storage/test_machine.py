"""What the kernel tells about memory, and what is said where it does not."""

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from pinyon.storage import machine
from pinyon.storage.machine import give_back_memory, machine_memory_bytes, process_memory

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these files")


@linux_only
def test_memory_of_the_process_grows_with_what_is_written():
    before = process_memory()
    # New pages: an array might get memory that was freed before and is still the process's.
    pages = mmap.mmap(-1, 64 * 1024 * 1024, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    np.frombuffer(pages, np.uint8)[:] = 1
    after = process_memory()
    assert before.file_bytes > 0
    assert abs(after.anonymous_bytes - before.anonymous_bytes - len(pages)) < 16 * 1024 * 1024


def test_nothing_is_known_where_the_kernel_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_STATUS", tmp_path / "none")
    assert process_memory() == (0, 0)


def test_a_container_may_have_less_than_the_machine(monkeypatch, tmp_path):
    def with_limit(text: str) -> int | None:
        limit = tmp_path / "memory.max"
        limit.write_text(text)
        monkeypatch.setattr(machine, "_CGROUP_LIMITS", (Path(tmp_path / "none"), limit))
        return machine_memory_bytes()

    assert with_limit("1048576\n") == 1048576
    whole = with_limit("max\n")
    assert whole is not None
    assert whole > 1048576
    assert with_limit(str(2**62)) == whole


@linux_only
def test_memory_that_is_free_is_given_back():
    give_back_memory()
    kept = [bytes(2000 + number % 7) for number in range(40_000)]
    before = process_memory().anonymous_bytes
    last = kept[-1]
    del kept
    give_back_memory()
    assert before - process_memory().anonymous_bytes > 20_000_000
    assert last
