"""Files in memory, for tests of what stands on storage. Nothing outlives the object; every sync is a no-op.

For what a power cut leaves, see `pinyon.testing.simulated_disk`.
"""

from collections.abc import Sequence
from posixpath import dirname

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.protocol import BytesLike


class MemoryFile:
    """A file open for appending."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self._content)

    def append(self, parts: Sequence[BytesLike]) -> None:
        """Write the parts one after another at the end."""
        for part in parts:
            self._content += part

    def sync(self) -> None:
        """Do nothing."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        del self._content[size:]

    def close(self) -> None:
        """Do nothing."""


class MemoryStorage:
    """A folder tree of files. The root is the folder with the empty path."""

    def __init__(self) -> None:
        self._folders = {""}
        self._files: dict[str, bytearray] = {}

    def make_directory(self, path: str) -> None:
        """Create a folder; fine if it is there. Its parent must exist."""
        self._check_parent(path)
        if path in self._files:
            raise UnavailableError(f"{path}: File exists")
        self._folders.add(path)

    def list_directory(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""
        everything = self._folders.union(self._files) - {""}
        return sorted(item.rpartition("/")[2] for item in everything if dirname(item) == path)

    def create(self, path: str) -> MemoryFile:
        """Create a file that must not exist yet, open for appending."""
        self._check_parent(path)
        if path in self._files or path in self._folders:
            raise UnavailableError(f"{path}: File exists")
        self._files[path] = bytearray()
        return MemoryFile(self._files[path])

    def open_append(self, path: str) -> MemoryFile:
        """Open an existing file for appending.

        Raises:
            NotFoundError: there is no such file.
        """
        return MemoryFile(self._content(path))

    def read(self, path: str) -> memoryview:
        """A copy of all bytes of a file, read-only.

        Raises:
            NotFoundError: there is no such file.
        """
        return memoryview(bytes(self._content(path)))

    def replace(self, path: str, content: bytes) -> None:
        """Make `content` the file's content."""
        self._check_parent(path)
        self._files[path] = bytearray(content)

    def remove(self, path: str) -> None:
        """Remove a file; fine if it is gone."""
        self._files.pop(path, None)

    def remove_tree(self, path: str) -> None:
        """Remove a folder and all that is in it; fine if it is gone."""
        below = path + "/"
        self._folders = {folder for folder in self._folders if folder != path and not folder.startswith(below)}
        self._files = {name: content for name, content in self._files.items() if not name.startswith(below)}

    def sync_directory(self, path: str) -> None:
        """Check that the folder is there."""
        if path not in self._folders:
            raise UnavailableError(f"{path}: No such file or directory")

    def _check_parent(self, path: str) -> None:
        if dirname(path) not in self._folders:
            raise UnavailableError(f"{path}: No such file or directory")

    def _content(self, path: str) -> bytearray:
        if path not in self._files:
            raise NotFoundError(f"{path}: no such file")
        return self._files[path]
