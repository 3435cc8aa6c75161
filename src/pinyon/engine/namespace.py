"""A namespace: a memtable, and what was declared of it. Thin on purpose: work is done in functions elsewhere."""

from dataclasses import dataclass

from pinyon.engine.memtable import Memtable
from pinyon.engine.runs import NO_RUNS, Runs
from pinyon.engine.view import View
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Lsn


@dataclass(slots=True)
class Namespace:
    """Records that are written and searched alone.

    Attributes:
        name: as shown; the default namespace is "__default__".
        memtable: its records.
        declared: True if it was created explicitly; it then exists even when empty.
        filterable_fields: metadata fields that filters may use; None inherits the index's.
        runs: postings of the memtable's sparse values, replaced as a whole.
        is_building_runs: True while newer ones are on their way.
    """

    name: str
    memtable: Memtable
    declared: bool = False
    filterable_fields: tuple[str, ...] | None = None
    runs: Runs = NO_RUNS
    is_building_runs: bool = False

    @property
    def is_listed(self) -> bool:
        """True if it has records or was declared; else it is only remembered for those who delete from it again."""
        return self.declared or len(self.memtable) > 0

    def view(self, lsn: Lsn) -> View:
        """What a read at `lsn`, the newest applied one, sees. Called under the index's lock."""
        return View(lsn, self.memtable.block_views(), self.runs)

    def describe(self) -> NamespaceDescription:
        """The namespace's numbers now. Called under the index's lock."""
        return NamespaceDescription(self.name, len(self.memtable), self.memtable.size_bytes, self.filterable_fields)
