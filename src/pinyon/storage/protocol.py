"""Where bytes live. Nothing above this package opens a file.

Paths are relative, with `/` between parts. What must hold of every implementation:

- A byte is durable only after `sync` of its file returned, and a name (create, rename, remove) only after
  `sync_directory` of its folder returned. Before that a power cut may keep any part of it, in any order.
- A failed `sync` says nothing about what is on disk: the file must not be written again.
- One writer a file at a time; any number of readers.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""Bytes in memory; a memoryview is contiguous and of format "B"."""


class AppendFile(Protocol):
    """A file open for appending."""

    @property
    def size(self) -> int:
        """Bytes written so far, durable or not."""
        ...

    def append(self, parts: Sequence[BytesLike]) -> None:
        """Write the parts one after another at the end.

        Raises:
            UnavailableError: the disk is full or failed; the file may hold any prefix of the parts.
        """
        ...

    def sync(self) -> None:
        """Make all that was written durable (fdatasync; F_FULLFSYNC on macOS).

        Raises:
            UnavailableError: the disk failed; what is on it is unknown.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes. Durable after the next `sync`."""
        ...

    def close(self) -> None:
        """Release the file without syncing it."""
        ...


class Storage(Protocol):
    """A folder tree of files."""

    def make_directory(self, path: str) -> None:
        """Create a folder; fine if it is there. Its parent must exist."""
        ...

    def list_directory(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""
        ...

    def create(self, path: str) -> AppendFile:
        """Create a file that must not exist yet, open for appending."""
        ...

    def open_append(self, path: str) -> AppendFile:
        """Open an existing file for appending."""
        ...

    def read(self, path: str) -> memoryview:
        """All bytes of a file, read-only; may be memory-mapped.

        Raises:
            NotFoundError: there is no such file.
        """
        ...

    def replace(self, path: str, content: bytes) -> None:
        """Make `content` the file's content in one atomic, durable step: write aside, sync, rename, sync the folder."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; fine if it is gone."""
        ...

    def remove_tree(self, path: str) -> None:
        """Remove a folder and all that is in it; fine if it is gone. Not atomic."""
        ...

    def sync_directory(self, path: str) -> None:
        """Make the names in a folder durable."""
        ...
