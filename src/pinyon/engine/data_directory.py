"""Where things are in a data directory, for those who look at one that they did not open. Reads only.

catalog.json
indexes/<index id>/manifest.json
indexes/<index id>/log/
indexes/<index id>/segments/
"""

from typing import Final

from pinyon.engine.catalog import CATALOG_PATH
from pinyon.errors import NotFoundError
from pinyon.model.index import IndexDefinition
from pinyon.storage.lock import LOCK_FILE
from pinyon.storage.protocol import Storage

INDEXES: Final = "indexes"
LOG: Final = "log"

ROOT_NAMES: Final = frozenset({CATALOG_PATH, INDEXES, LOCK_FILE, "tls"})
"""What may be in a data directory itself."""


def check_data_directory(storage: Storage, shown_path: str) -> None:
    """Refuse a folder that no server ever used.

    Raises:
        NotFoundError: it has neither a catalog nor indexes.
    """
    if not {CATALOG_PATH, INDEXES}.intersection(storage.list_directory("")):
        raise NotFoundError(f"{shown_path} is no data directory: it has no {CATALOG_PATH}; name another by --data-dir")


def index_directory(index_id: str) -> str:
    """The folder of an index."""
    return f"{INDEXES}/{index_id}"


def choose_index(definitions: list[IndexDefinition], name: str | None) -> list[IndexDefinition]:
    """Those to look at: the one of that name, or all.

    Raises:
        NotFoundError: no index has that name.
    """
    chosen = [each for each in definitions if name in (None, each.name)]
    if name is not None and not chosen:
        raise NotFoundError(f"there is no index {name}")
    return chosen


def file_bytes(storage: Storage, path: str) -> int:
    """Length of a file.

    Raises:
        NotFoundError: there is no such file.
        UnavailableError: it is a folder, or the disk failed.
    """
    return len(storage.read(path))
