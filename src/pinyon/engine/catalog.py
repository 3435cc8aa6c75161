"""The catalog: which indexes exist, durably.

It is one small JSON file, written anew for every change. What must hold:

- Replacing the file is the commit point of creating, changing and deleting an index. A stop before it leaves the
  old catalog, a stop after it the new one; folders that the catalog does not name are leftovers.
- Memory follows the disk: a definition is visible only after it is durable. Where a write fails, it is unknown which
  of the two catalogs the disk holds, unless it still shows the old one; see `in_doubt`. The next change writes the
  whole catalog and so settles it.
- Damage is never read as an answer: the checksum of `pinyon.storage.checked_json` covers every definition.
"""

import threading
from typing import Final

from pinyon.errors import AlreadyExistsError, DataLossError, NotFoundError, PinyonError
from pinyon.model.index import IndexDefinition
from pinyon.storage.checked_json import CheckedJson
from pinyon.storage.protocol import Storage

CATALOG_PATH: Final = "catalog.json"

_FILE: Final = CheckedJson("catalog", "indexes", list[IndexDefinition])


class Catalog:
    """The definitions of all indexes. Any thread may call any method; reads never wait for a write."""

    def __init__(self, storage: Storage) -> None:
        """Read the catalog; a directory without one has no indexes.

        Raises:
            DataLossError: the file is damaged, or another version of Pinyon wrote it.
        """
        self._storage = storage
        self._writing = threading.Lock()
        self._by_name = _load(storage)  # never changed in place, only replaced

    def definitions(self) -> list[IndexDefinition]:
        """All indexes, oldest first."""
        return list(self._by_name.values())

    def get(self, name: str) -> IndexDefinition:
        """The definition of one index.

        Raises:
            NotFoundError: no index has that name.
        """
        return _find(self._by_name, name)

    @property
    def in_doubt(self) -> bool:
        """True if the disk may hold another catalog than this one, because a write failed half-way."""
        try:
            return _load(self._storage) != self._by_name
        except PinyonError:
            return True

    def begin(self) -> None:
        """Write an empty catalog if there is none, so that from now on a directory without one has lost it.

        Raises:
            UnavailableError: the disk failed.
        """
        with self._writing:
            if CATALOG_PATH not in self._storage.list_directory(""):
                self._commit({})

    def add(self, definition: IndexDefinition) -> None:
        """Make an index exist.

        Raises:
            AlreadyExistsError: the name is taken.
            UnavailableError: the disk failed.
        """
        with self._writing:
            if definition.name in self._by_name:
                raise AlreadyExistsError("Resource already exists")
            self._commit({**self._by_name, definition.name: definition})

    def change(self, definition: IndexDefinition) -> None:
        """Replace the definition of the index of the same name.

        Raises:
            NotFoundError: no index has that name.
            UnavailableError: the disk failed.
        """
        with self._writing:
            _find(self._by_name, definition.name)
            self._commit({**self._by_name, definition.name: definition})

    def remove(self, name: str) -> IndexDefinition:
        """Make an index not exist, and return what it was.

        Raises:
            NotFoundError: no index has that name.
            UnavailableError: the disk failed.
        """
        with self._writing:
            removed = _find(self._by_name, name)
            self._commit({key: value for key, value in self._by_name.items() if key != name})
            return removed

    def _commit(self, by_name: dict[str, IndexDefinition]) -> None:
        self._storage.replace(CATALOG_PATH, _FILE.encode(list(by_name.values())))
        self._by_name = by_name


def _find(by_name: dict[str, IndexDefinition], name: str) -> IndexDefinition:
    definition = by_name.get(name)
    if definition is None:
        raise NotFoundError(f"Resource {name} not found")
    return definition


def _load(storage: Storage) -> dict[str, IndexDefinition]:
    try:
        content = bytes(storage.read(CATALOG_PATH))
    except NotFoundError:
        return {}
    try:
        definitions = _FILE.decode(content)
    except ValueError as error:
        raise DataLossError(f"{CATALOG_PATH} cannot be used: {error}") from error
    return {definition.name: definition for definition in definitions}
