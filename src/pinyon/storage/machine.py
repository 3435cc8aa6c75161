"""The machine: its memory, of which Linux tells much and others little, its open files, and a thread's turn on it."""

import contextlib
import ctypes
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_STATUS: Final = Path("/proc/self/status")
_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_CGROUP_PROCESSORS: Final = Path("/sys/fs/cgroup/cpu.max")
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Parameters of glibc's `mallopt`, as in malloc.h."""

_ARENAS: Final = 2
_MAPPED_BYTES_MIN: Final = 4 * 1024 * 1024
"""Of a block that is mapped by itself. With 1 MiB, an ingest takes a half more CPU, to save hardly anything."""

_RSS: Final = re.compile(r"^Rss(Anon|File):\s+([0-9]+) kB$", re.MULTILINE)


class ProcessMemory(NamedTuple):
    """Memory of this process, in bytes; zeros where the kernel does not tell.

    Attributes:
        anonymous_bytes: what only it has: objects, arrays, memtables.
        file_bytes: of mapped files what is in memory now; the kernel takes it back when it needs room.
    """

    anonymous_bytes: int
    file_bytes: int


def process_memory() -> ProcessMemory:
    """What this process has in memory now."""
    found = {name: 1024 * int(size) for name, size in _RSS.findall(_text(_STATUS))}
    return ProcessMemory(found.get("Anon", 0), found.get("File", 0))


def machine_memory_bytes() -> int | None:
    """The memory of the machine, or what its container may have of it; None where neither is known."""
    known = [int(text) for text in (_text(path).strip() for path in _CGROUP_LIMITS) if text.isdecimal()]
    with contextlib.suppress(ValueError, OSError):  # Where the system does not know these names.
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(known, default=None)


def processor_count() -> int:
    """How many processors this process may use, at least 1: of the machine, or of its container (by cgroup v2)."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota, _, period = _text(_CGROUP_PROCESSORS).partition(" ")
    if quota.isdecimal() and int(period) > 0:
        allowed = min(allowed, -(-int(quota) // int(period)))
    return max(allowed, 1)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


def stand_back(niceness: int) -> None:
    """Let other threads go before this one, on Linux. Threads that are started from here inherit it."""
    if sys.platform == "linux":
        # Of this thread alone, on Linux; elsewhere it would be the whole process. Where it is forbidden, all are equal.
        with contextlib.suppress(OSError):
            os.nice(niceness)


def raise_file_limit() -> int:
    """Let this process open as many files at once as the system allows it; returns how many that is.

    What it is given at first, often 1,024 or 256, is for the sake of programs that call `select`, as nothing here does.
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed, wanted = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)
    while wanted > allowed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
        except (ValueError, OSError):
            wanted //= 2  # macOS refuses more than its kernel's maximum, and promises any number.
        else:
            return wanted
    return allowed


def save_memory(*, is_scarce: bool) -> None:
    """Have glibc keep less free memory for its next use. Called before the first thread is started.

    It has an arena a thread, each as large as what that thread had at most: two hold half as much after an ingest, and
    nobody waits for them (measured). Where memory is scarce, large blocks are given back as soon as they are free; by
    itself, glibc does that only until the first of them was freed.
    """
    _mallopt(_M_ARENA_MAX, _ARENAS)
    if is_scarce:
        _mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)


def give_back_memory() -> None:
    """Return free memory to the operating system, where the C library keeps it for its next use, as glibc does."""
    _malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int]:
    """A function of glibc; elsewhere, one that does nothing."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name, _nothing)
    except OSError:
        return _nothing
    return found


def _nothing(*_: int) -> int:
    return 0


_mallopt: Final = _of_glibc("mallopt")
_malloc_trim: Final = _of_glibc("malloc_trim")
