"""When the memory of an index is flushed, and how long writes wait for that.

What must hold:

- there is one flush at a time, and at most one that waits for its thread;
- a flush that failed is tried again with what was frozen for it.

Thread rule: any thread may call any method.
"""

import logging
import threading
from collections import Counter
from typing import Final

from pinyon.engine.background import RunLater
from pinyon.engine.flush import Frozen, flush, freeze
from pinyon.engine.index_state import IndexState
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.errors import PinyonError, UnavailableError
from pinyon.storage.machine import give_back_memory

_ROOM_TIMEOUT_S: Final = 20.0
"""How long a write waits for a flush before it is refused: less than clients wait."""

log = logging.getLogger(__name__)


class Flusher:
    """Flushes one index."""

    def __init__(
        self, state: IndexState, options: MaintenanceOptions, run_later: RunLater | None, counts: Counter[str]
    ) -> None:
        """Flush `state` with `run_later`, or only when `flush` is called; each flush is counted in `counts`."""
        self._state = state
        self._options = options
        self._run_later = run_later
        self._counts = counts
        self._frozen: Frozen | None = None
        self._flushing = threading.Lock()
        self._is_waiting = False
        self._beginning = threading.Lock()
        self._has_room = threading.Event()
        self._has_room.set()

    @property
    def is_flushing(self) -> bool:
        """True while a flush is under way or about to begin."""
        return self._is_waiting or self._flushing.locked()

    def is_due(self, *, is_idle: bool) -> bool:
        """True if it is time for a flush; after a pause in writing, for less than else."""
        state, options = self._state, self._options
        memory_max = options.idle_flush_bytes if is_idle else options.memtable_bytes_max
        log_max = options.idle_flush_bytes * 4 if is_idle else options.log_bytes_max
        is_written = state.lsn > state.store.manifest.lsn
        is_worthwhile = state.log.size_bytes >= log_max or (is_idle and self._has_many_new_dead)
        has_failed = self._frozen is not None and not self._flushing.locked()
        return state.namespaces.memory_bytes >= memory_max or (is_written and is_worthwhile) or has_failed

    def begin(self) -> None:
        """Begin a flush, unless one is about to begin."""
        if self._run_later is None or self._state.is_closed:
            return
        with self._beginning:
            is_first, self._is_waiting = not self._is_waiting, True
        if is_first:
            self._run_later(self._flush_or_log)

    def begin_if_full(self) -> bool:
        """Begin a flush if memory is full, and have writes wait if it is twice that; whether it is full."""
        if self._state.namespaces.memory_bytes < self._options.memtable_bytes_max:
            return False
        self.begin()
        if self._is_waiting and self._is_overfull:
            self._has_room.clear()
        return True

    def wait_for_room(self) -> None:
        """Wait while there is too much that was not flushed yet.

        Raises:
            UnavailableError: there still is, after a while.
        """
        # The event alone could be cleared just after the flush that was to set it.
        if self._is_overfull and not self._state.is_closed and not self._has_room.wait(_ROOM_TIMEOUT_S):
            raise UnavailableError("writes come faster than the disk takes them; try again later")

    def flush(self) -> None:
        """Flush now, in this thread.

        Raises:
            UnavailableError: the disk failed, or an earlier commit could not be made visible; what is in memory stays.
        """
        with self._flushing:
            self._is_waiting = False
            self._state.check_not_behind()
            if self._state.is_closed:
                return
            if self._frozen is None:
                self._frozen = freeze(self._state)
            if self._frozen is not None:
                try:
                    flush(self._state, self._frozen, self._options.build)
                finally:
                    if self._state.is_behind:  # There will never be room: writes are refused.
                        self._has_room.set()
                self._frozen = None
                self._counts["flush"] += 1
        self._has_room.set()

    def close(self) -> None:
        """Let writes go on, and wait for the flush under way; called once the index is closed."""
        self._has_room.set()
        with self._flushing:
            pass

    @property
    def _is_overfull(self) -> bool:
        return self._state.namespaces.memory_bytes >= 2 * self._options.memtable_bytes_max

    @property
    def _has_many_new_dead(self) -> bool:
        """True if so many rows of a segment died since the last flush that it is worth one to be rid of them."""
        segments, share = self._state.store.segments, self._options.compaction.dead_share
        return any(
            entry.dead_count < share * entry.row_count <= segments[entry.number].dead_count
            for entry in self._state.store.manifest.segments
            if entry.number in segments
        )

    def _flush_or_log(self) -> None:
        try:
            self.flush()
        except PinyonError as error:
            log.warning("index %s: flush failed: %s", self._state.definition().name, error.message)
        give_back_memory()
