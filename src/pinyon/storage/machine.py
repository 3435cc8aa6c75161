"""The machine: its memory, of which Linux tells much and others little, and the turn that a thread has on it."""

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_STATUS: Final = Path("/proc/self/status")
_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
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


def give_back_memory() -> None:
    """Return free memory to the operating system, where the C library keeps it for its next use, as glibc does."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def _find_malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except OSError:
        return None
    return found


_malloc_trim: Final = _find_malloc_trim()
