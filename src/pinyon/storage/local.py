"""Files of the local file system, through the operating system's own calls.

What must hold:

- A call returns when the operating system says that it is done; no buffer of ours stands between.
- Every `OSError` leaves here as one of Pinyon's errors, with the path below the root: a caller of the API may see it.
- The bytes that `read` returned stay readable while anyone holds them, even when the file is removed.
"""

import errno
import fcntl
import mmap
import os
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.protocol import BytesLike

_BUFFERS_PER_WRITE: Final = os.sysconf("SC_IOV_MAX")
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_FILE_MODE: Final = 0o644


class LocalFile:
    """A file open for appending. The operating system places each write at the end of the file."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._size = os.fstat(descriptor).st_size

    @property
    def size(self) -> int:
        """Bytes written so far, durable or not."""
        return self._size

    def append(self, parts: Sequence[BytesLike]) -> None:
        """Write the parts one after another at the end, without joining them.

        Raises:
            UnavailableError: the disk is full or failed; the file may hold any prefix of the parts.
        """
        with _as_our_errors(self._name):
            for first in range(0, len(parts), _BUFFERS_PER_WRITE):
                pending = parts[first : first + _BUFFERS_PER_WRITE]
                while pending:
                    written = os.writev(self._descriptor, pending)
                    self._size += written
                    pending = _unwritten(pending, written)

    def sync(self) -> None:
        """Make all that was written durable.

        Raises:
            UnavailableError: the disk failed; what is on it is unknown.
        """
        with _as_our_errors(self._name):
            _sync_content(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes. Durable after the next `sync`."""
        with _as_our_errors(self._name):
            os.ftruncate(self._descriptor, size)
        self._size = size

    def close(self) -> None:
        """Release the file without syncing it. Closing twice is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LocalStorage:
    """A folder of the local file system."""

    def __init__(self, root: Path, *, file_mode: int = _FILE_MODE) -> None:
        """Take `root` as the folder; it is created, with its parents, when missing. New files get `file_mode`."""
        self._root = root
        self._file_mode = file_mode
        with _as_our_errors(str(root)):
            _make_durable_directory(root)

    def make_directory(self, path: str) -> None:
        """Create a folder; fine if it is there. Its parent must exist."""
        with _as_our_errors(path):
            (self._root / path).mkdir(exist_ok=True)

    def list_directory(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""
        with _as_our_errors(path):
            try:
                return sorted(entry.name for entry in (self._root / path).iterdir())
            except FileNotFoundError:
                return []

    def create(self, path: str) -> LocalFile:
        """Create a file that must not exist yet, open for appending."""
        with _as_our_errors(path):
            return LocalFile(os.open(self._root / path, _APPEND | os.O_CREAT | os.O_EXCL, self._file_mode), path)

    def open_append(self, path: str) -> LocalFile:
        """Open an existing file for appending.

        Raises:
            NotFoundError: there is no such file.
        """
        with _as_our_errors(path), _missing_is_not_found(path):
            return LocalFile(os.open(self._root / path, _APPEND), path)

    def read(self, path: str) -> memoryview:
        """All bytes of a file, memory-mapped and read-only.

        Raises:
            NotFoundError: there is no such file.
        """
        with _as_our_errors(path), _missing_is_not_found(path), (self._root / path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")  # An empty file cannot be mapped.
            return memoryview(_mapped(file.fileno()))

    def replace(self, path: str, content: bytes) -> None:
        """Make `content` the file's content in one atomic, durable step."""
        target = self._root / path
        aside = target.with_name(target.name + ".tmp")
        with _as_our_errors(path):
            self._write_aside(aside, content)
            aside.replace(target)
            _sync_directory(target.parent)

    def remove(self, path: str) -> None:
        """Remove a file; fine if it is gone."""
        with _as_our_errors(path):
            (self._root / path).unlink(missing_ok=True)

    def remove_tree(self, path: str) -> None:
        """Remove a folder and all that is in it; fine if it is gone. Not atomic."""
        with _as_our_errors(path):
            try:
                shutil.rmtree(self._root / path)
            except FileNotFoundError:
                return

    def sync_directory(self, path: str) -> None:
        """Make the names in a folder durable."""
        with _as_our_errors(path):
            _sync_directory(self._root / path)

    def _write_aside(self, aside: Path, content: bytes) -> None:
        aside.unlink(missing_ok=True)  # Left by a replacement that was cut short.
        file = self.create(aside.relative_to(self._root).as_posix())
        try:
            file.append([content])
            file.sync()
        finally:
            file.close()


def _mapped(descriptor: int) -> mmap.mmap:
    """A whole file. Its descriptor may be closed; before Python 3.13, the map keeps a copy of it."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def _unwritten(parts: Sequence[BytesLike], written: int) -> Sequence[BytesLike]:
    """What is left of the parts when so many bytes went out; a system call may write less than it was given."""
    for index, part in enumerate(parts):
        view = memoryview(part)
        if written < view.nbytes:
            return [view.cast("B")[written:], *parts[index + 1 :]]
        written -= view.nbytes
    return ()


def _make_durable_directory(path: Path) -> None:
    if not path.is_dir():
        _make_durable_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_content(descriptor: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the drive's own cache there.
    else:
        os.fdatasync(descriptor)  # Syncs the size too; leaves out only times.


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _as_our_errors(name: str) -> Iterator[None]:
    """Turn an `OSError` into an UnavailableError that names the file."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{name}: {_reason(error)}") from error


@contextmanager
def _missing_is_not_found(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{name}: no such file") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on device"
    if error.errno == errno.EMFILE:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"too many open files: the limit of this process is {limit} (`ulimit -n`)"
    return error.strerror or str(error)
