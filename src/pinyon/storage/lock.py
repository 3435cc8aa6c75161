"""One server a data directory, held by an advisory lock that the operating system frees when the process dies.

The file `LOCK` stays when the lock is released: removing it would let two servers lock two files of that name.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pinyon.errors import FailedPreconditionError, UnavailableError

LOCK_FILE: Final = "LOCK"


class DirectoryLock:
    """The right to use a data directory, until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        """Own a descriptor that holds the lock; `lock_directory` is the way in."""
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another server have the directory. Releasing twice is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_directory(root: Path) -> DirectoryLock:
    """Lock an existing data directory for this process and write the process id into its file `LOCK`.

    Raises:
        FailedPreconditionError: another server holds it.
        UnavailableError: the file system does not let us create or lock the file.
    """
    try:
        return _lock(root)
    except OSError as error:
        raise UnavailableError(f"data directory {root} cannot be locked: {error.strerror}") from error


def _lock(root: Path) -> DirectoryLock:
    descriptor = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # The id is for people; on a full disk the lock holds without it.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise FailedPreconditionError(f"data directory {root} is in use by another Pinyon server{holder}") from error
    except BaseException:
        os.close(descriptor)
        raise
    return DirectoryLock(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock, for people; empty in the instant before the holder has written its id."""
    pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return f" (pid {pid})" if pid else ""
