"""The parts of an open index that writing, reading and maintenance share."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pinyon.engine.namespaces import Namespaces
from pinyon.engine.segment_store import SegmentStore
from pinyon.errors import UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Lsn

_BEHIND: Final = "what is on disk could not be made visible; restart Pinyon to recover"

log = logging.getLogger(__name__)


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
        is_behind: True once a commit could not be made visible; the index is closed then, but for reads.
        while_no_write: calls a function while nothing is logged.
        refuse_writes: refuses all writes from now on, for a reason.
        lock: held for a moment at a time; never while a disk is waited for.
    """

    definition: Callable[[], IndexDefinition]
    log: FileLog
    store: SegmentStore
    namespaces: Namespaces
    lsn: Lsn = 0
    frozen_bytes: int = 0
    is_closed: bool = False
    is_behind: bool = False
    while_no_write: Callable[[Callable[[], None]], None] = lambda work: work()
    refuse_writes: Callable[[str], None] = lambda reason: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check_open(self) -> None:
        """Raise UnavailableError once the index is closed, so that long work ends."""
        if self.is_closed:
            raise UnavailableError("the index is closed")

    def check_not_behind(self) -> None:
        """Raise UnavailableError once a commit could not be made visible."""
        if self.is_behind:
            raise UnavailableError(_BEHIND)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Hold `store.committing` while something is committed and made visible.

        Where it was committed and then something is raised, reads go on with what they saw, and nothing is written or
        committed any more: the next commit would make durable what is wrong beside this one.

        Raises:
            UnavailableError: that happened before.
        """
        with self.store.committing:
            self.check_not_behind()
            manifest = self.store.manifest
            try:
                yield
            except BaseException:
                if self.store.manifest is not manifest:
                    self.is_behind = self.is_closed = True
                    self.refuse_writes(_BEHIND)
                    log.exception("index %s: %s", self.definition().name, _BEHIND)
                raise
