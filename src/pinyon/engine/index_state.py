"""The parts of an open index that writing, reading and maintenance share."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pinyon.engine.namespaces import Namespaces
from pinyon.engine.segment_store import SegmentStore
from pinyon.errors import UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Lsn


@dataclass(slots=True)
class IndexState:
    """What an index is made of.

    Attributes:
        definition: what the index is.
        log: its log.
        store: its segments.
        namespaces: its namespaces, guarded by `lock`.
        lsn: the newest LSN that reads see, guarded by `lock`.
        frozen_bytes: what memtables take that are being flushed.
        is_closed: True once no more is to be begun.
        while_no_write: calls a function while nothing is logged.
        lock: held for a moment at a time; never while a disk is waited for.
    """

    definition: Callable[[], IndexDefinition]
    log: FileLog
    store: SegmentStore
    namespaces: Namespaces
    lsn: Lsn = 0
    frozen_bytes: int = 0
    is_closed: bool = False
    while_no_write: Callable[[Callable[[], None]], None] = lambda work: work()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check_open(self) -> None:
        """Raise UnavailableError once the index is closed, so that long work ends."""
        if self.is_closed:
            raise UnavailableError("the index is closed")
