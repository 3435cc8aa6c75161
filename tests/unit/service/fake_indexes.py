"""The collaborators of the control plane, in memory."""

from itertools import count

import msgspec

from pinyon.engine.report import Report, report_of
from pinyon.errors import NotFoundError
from pinyon.model.index import IndexDefinition


class FakeIndexes:
    """Keeps `pinyon.service.control_plane.Indexes` without files and ports."""

    def __init__(self) -> None:
        self._by_name: dict[str, IndexDefinition] = {}
        self._ports = count(5081)
        self.closed: dict[str, str] = {}

    def definitions(self) -> list[IndexDefinition]:
        return list(self._by_name.values())

    def get(self, name: str) -> IndexDefinition:
        if name not in self._by_name:
            raise NotFoundError(f"Resource {name} not found")
        return self._by_name[name]

    def why_closed(self, name: str) -> str | None:
        return self.closed.get(name)

    def create(self, definition: IndexDefinition) -> IndexDefinition:
        assert definition.name not in self._by_name
        assert definition.port == 0
        self._by_name[definition.name] = msgspec.structs.replace(definition, port=next(self._ports))
        return self._by_name[definition.name]

    def change(self, definition: IndexDefinition) -> None:
        assert self.get(definition.name).index_id == definition.index_id
        self._by_name[definition.name] = definition

    def report(self) -> Report:
        return report_of([], [], None, 0)

    def delete(self, name: str) -> None:
        del self._by_name[name]


class FakeClock:
    """A clock that stands still."""

    def now_s(self) -> float:
        return 1_700_000_000.0

    def monotonic_s(self) -> float:
        return 0.0


class CountingIds:
    """Ids in a known order."""

    def __init__(self) -> None:
        self._next = count(1)

    def new_id(self) -> str:
        return f"{next(self._next):032x}"
