"""A namespace: a memtable, and what was declared of it. Thin on purpose: work is done in functions elsewhere."""

from dataclasses import dataclass

from pinyon.engine.memtable import Memtable
from pinyon.engine.view import BlockView, View
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
    """

    name: str
    memtable: Memtable
    declared: bool = False
    filterable_fields: tuple[str, ...] | None = None

    @property
    def is_listed(self) -> bool:
        """True if it has records or was declared; else it is only remembered for those who delete from it again."""
        return self.declared or len(self.memtable) > 0

    def view(self, lsn: Lsn) -> View:
        """What a read at `lsn`, the newest applied one, sees. Called under the index's lock."""
        return View(lsn, tuple(BlockView(block, block.row_count) for block in self.memtable.blocks.values()))

    def describe(self) -> NamespaceDescription:
        """The namespace's numbers now. Called under the index's lock."""
        return NamespaceDescription(self.name, len(self.memtable), self.memtable.size_bytes, self.filterable_fields)
