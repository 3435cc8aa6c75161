"""A folder of the local file system that is only looked at: nothing in it is created, changed or synced.

For programs that tell what is on disk, also while a server uses the folder. A folder that is missing stays so.
"""

from pathlib import Path
from typing import NoReturn

from pinyon.errors import UnavailableError
from pinyon.storage.local import LocalStorage


class ReadOnlyStorage(LocalStorage):
    """The reading half of a `LocalStorage`; all that would change the disk is refused.

    `sync_directory` does nothing: who never removes or writes anything need not know what a power cut would leave.
    """

    def __init__(self, root: Path) -> None:
        """Look at `root`, which need not be there."""
        self._root = root

    def make_directory(self, path: str) -> None:
        """Refuse."""
        _refuse(path)

    def create(self, path: str) -> NoReturn:
        """Refuse."""
        _refuse(path)

    def open_append(self, path: str) -> NoReturn:
        """Refuse."""
        _refuse(path)

    def replace(self, path: str, content: bytes) -> None:
        """Refuse."""
        _refuse(path)

    def remove(self, path: str) -> None:
        """Refuse."""
        _refuse(path)

    def remove_tree(self, path: str) -> None:
        """Refuse."""
        _refuse(path)

    def sync_directory(self, path: str) -> None:
        """Do nothing."""


def _refuse(path: str) -> NoReturn:
    raise UnavailableError(f"{path}: the folder was opened for reading only")
