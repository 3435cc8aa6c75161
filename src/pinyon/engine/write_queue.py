"""Group commit: many threads write, one of them syncs for all.

A thread that finds nobody at work becomes the leader. It takes what waits, logs it as one frame with one sync, hands
the lead to whoever waits next, applies what it logged, and wakes the others of its group. So one group is applied while
the next one is on its way to the disk. There is no thread of our own, and a lone writer pays for no hand-over.

What must hold:

- an operation is applied only after the log made it durable, and acknowledged only after it was applied;
- operations are logged and applied in the order in which they arrived: a leader takes `_applying` before it gives the
  lead away, so the next one, which needs it after its own sync, applies after it;
- after an apply that failed, nothing is applied any more: what a read sees has no gap;
- an operation that depends on what is stored (see `Resolver`) is resolved when all before it have been applied, and
  travels in a group of its own; one that turns out to change nothing is not logged.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from pinyon.engine.operations import Operation, encode
from pinyon.errors import UnavailableError
from pinyon.log.protocol import Log
from pinyon.model.record import Lsn
from pinyon.storage.protocol import BytesLike

Resolver: TypeAlias = Callable[[], Operation | None]
"""Decides an operation from what is stored; None when there is nothing to do."""

_GROUP_BYTES_MAX = 64 * 1024 * 1024
"""Where a group is cut, so that one sync never waits for an unbounded frame."""

_APPLY_FAILED = "a write is on disk but could not be made visible; restart Pinyon to recover"


@dataclass(slots=True, eq=False)
class _Pending:
    parts: list[BytesLike]
    operation: Operation | None
    resolver: Resolver | None = None
    woken: threading.Event = field(default_factory=threading.Event)
    lsn: Lsn = 0
    error: BaseException | None = None
    done: bool = False


class WriteQueue:
    """The one way into a log. `apply` is called with each operation and its LSN, in order, by one thread at a time."""

    def __init__(self, log: Log, apply: Callable[[list[tuple[Lsn, Operation]]], None]) -> None:
        """Write to `log`; `apply` makes a durable group visible and must not fail."""
        self._log = log
        self._apply = apply
        self._mutex = threading.Lock()
        self._applying = threading.Lock()
        self._waiting: deque[_Pending] = deque()
        self._has_leader = False
        self._apply_failed = False
        self._refusal: str | None = None

    def write(self, operation: Operation) -> Lsn:
        """Make an operation durable and visible.

        Returns:
            The operation's LSN.

        Raises:
            UnavailableError: the disk is full or failed, or writes are refused; nothing was applied.
        """
        return self._submit(_Pending(encode(operation), operation))

    def write_resolved(self, resolver: Resolver) -> Lsn:
        """Resolve an operation against all that was written before it, then write it.

        Returns:
            The operation's LSN, or the newest LSN when there was nothing to do.

        Raises:
            UnavailableError: as for `write`.
        """
        return self._submit(_Pending([], None, resolver))

    def while_no_write(self, work: Callable[[], None]) -> None:
        """Call `work` while nothing is logged, after all that was written before.

        Raises:
            UnavailableError: writes are refused.
        """
        self._submit(_Pending([], None, work))

    def refuse(self, reason: str) -> None:
        """Refuse writes from now on, but for those under way; the first reason given is told."""
        with self._mutex:
            self._refusal = self._refusal or reason

    def close(self) -> None:
        """Refuse writes from now on, and wait for those under way."""
        self.refuse("the index is closed")
        self._submit(_Pending([], None, lambda: None), even_if_closed=True)

    def _submit(self, pending: _Pending, *, even_if_closed: bool = False) -> Lsn:
        with self._mutex:
            if self._refusal is not None and not even_if_closed:
                raise UnavailableError(self._refusal)
            self._waiting.append(pending)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            pending.woken.wait()
        if not pending.done:
            self._lead()
        if pending.error is not None:
            raise pending.error
        return pending.lsn

    def _lead(self) -> None:
        """Write one group, the caller's own operation in it, and hand the lead on."""
        group = self._take_group()
        try:
            if group[0].resolver is not None:
                with self._applying:
                    self._resolve(group[0])
            self._log_group(group)
            self._applying.acquire()
        except BaseException as error:  # noqa: BLE001 - it is raised again in every thread of the group
            self._hand_on()
            for pending in group:
                pending.error = error
        else:
            self._hand_on()
            self._apply_group(group)
        for pending in group:
            pending.done = True
            pending.woken.set()

    def _take_group(self) -> list[_Pending]:
        with self._mutex:
            group = [self._waiting.popleft()]
            size = _size(group[0])
            while self._waiting and group[0].resolver is None and self._waiting[0].resolver is None:
                size += _size(self._waiting[0])
                if size > _GROUP_BYTES_MAX:
                    break
                group.append(self._waiting.popleft())
            return group

    def _resolve(self, pending: _Pending) -> None:
        """Decide what to write, now that all earlier operations have been applied."""
        assert pending.resolver is not None
        pending.operation = pending.resolver()
        pending.lsn = self._log.last_lsn
        if pending.operation is not None:
            pending.parts = encode(pending.operation)

    def _log_group(self, group: list[_Pending]) -> None:
        entries = [pending.parts for pending in group if pending.operation is not None]
        if not entries:
            return
        first_lsn = self._log.append(entries)
        for lsn, pending in enumerate(group, first_lsn):
            pending.lsn = lsn

    def _apply_group(self, group: list[_Pending]) -> None:
        """Make a durable group visible; called with `_applying` held, which it releases."""
        try:
            self._apply_in_order(
                [(pending.lsn, pending.operation) for pending in group if pending.operation is not None]
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again in every thread of the group
            self._apply_failed = True
            self.refuse(_APPLY_FAILED)
            for pending in group:
                pending.error = error
        finally:
            self._applying.release()

    def _apply_in_order(self, operations: list[tuple[Lsn, Operation]]) -> None:
        if self._apply_failed and operations:
            raise UnavailableError(_APPLY_FAILED)
        self._apply(operations)

    def _hand_on(self) -> None:
        """Let whoever waits next lead, if anyone does."""
        with self._mutex:
            heir = self._waiting[0] if self._waiting else None
            self._has_leader = heir is not None
        if heir is not None:
            heir.woken.set()


def _size(pending: _Pending) -> int:
    return sum(map(len, pending.parts))
