"""What the kernel tells about memory, and what is said where it does not."""

import mmap
import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pinyon.storage import machine
from pinyon.storage.machine import (
    give_back_memory,
    machine_memory_bytes,
    process_memory,
    processor_count,
    raise_file_limit,
)

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


def test_a_container_may_have_fewer_processors_than_the_machine(monkeypatch, tmp_path):
    def with_quota(text: str) -> int:
        (tmp_path / "cpu.max").write_text(text)
        return processor_count()

    everything = processor_count()
    assert everything >= 1
    monkeypatch.setattr(machine, "_CGROUP_PROCESSORS", tmp_path / "cpu.max")
    assert with_quota("50000 100000\n") == 1
    assert with_quota(f"{100_000 * everything} 100000\n") == everything
    assert with_quota("max 100000\n") == everything
    if everything > 1:
        assert with_quota("110000 100000\n") == 2


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


_FILE_LIMITS = """
import resource
from pinyon.storage.machine import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE), raise_file_limit())
"""


def test_as_many_files_may_be_open_as_the_system_allows():
    assert _printed(_FILE_LIMITS).split() == ["200", "200", "200", "200"]


@pytest.mark.parametrize(("kernel_max", "expected"), [(61_440, range(30_720, 61_441)), (200, range(256, 257))])
def test_where_the_kernel_allows_less_than_it_says_it_is_asked_for_less(monkeypatch, kernel_max, expected):
    limits = (256, 2**63 - 1)  # Of macOS, whose hard limit is infinite.

    def set_limits(_: int, wanted: tuple[int, int]) -> None:
        nonlocal limits
        if wanted[0] > kernel_max:
            raise ValueError("current limit exceeds maximum limit")
        limits = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", set_limits)
    assert raise_file_limit() in expected
    assert limits == (raise_file_limit(), 2**63 - 1)


_AFTER_LARGE_BLOCKS = """
import sys
from pinyon.storage.machine import process_memory, save_memory
save_memory(is_scarce=sys.argv[1] == "scarce")
for _ in range(2):
    large = bytes(range(256)) * 65_536
    above = [bytes(1000) for _ in range(3000)]  # What lies above it keeps the heap from shrinking.
    del large
print(process_memory().anonymous_bytes)
"""

_AFTER_THREADS = """
import ctypes, threading
from pinyon.storage.machine import save_memory
save_memory(is_scarce=False)
all_are_there = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (bytes(100_000), all_are_there.wait())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def _printed(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are not told anything")


@glibc_only
def test_where_memory_is_scarce_large_blocks_are_given_back_at_once():
    kept, given_back = (int(_printed(_AFTER_LARGE_BLOCKS, name)) for name in ("plenty", "scarce"))
    assert kept - given_back > 12_000_000


@glibc_only
def test_threads_share_two_arenas():
    assert _printed(_AFTER_THREADS).count("<heap nr=") == 2
