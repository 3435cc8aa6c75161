"""A durable sequence of entries. What an entry means is the business of the one who appends it.

What must hold of every implementation:

- The entry that was appended as the n-th has LSN n, counted from 1, without gaps.
- `append` returns when its entries survive a power cut, and not before. A group is there whole or not at all.
- Entries come back as they were appended, in order, or there is an error; never others, never fewer than acknowledged,
  but for those at the beginning that are known not to be needed any more.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from pinyon.model.record import Lsn
from pinyon.storage.protocol import BytesLike

Entry: TypeAlias = Sequence[BytesLike]
"""One entry as parts that are written back to back; it is read as one."""

FIRST_LSN: Final[Lsn] = 1


class Log(Protocol):
    """A log open for appending. One thread at a time appends; the properties may be read by any."""

    @property
    def last_lsn(self) -> Lsn:
        """LSN of the newest durable entry; 0 if there is none."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes that the log takes on its storage."""
        ...

    def replay(self) -> Iterator[tuple[Lsn, memoryview]]:
        """The entries that were there when the log was opened, oldest first, in read-only views without a copy.

        Each starts at an address that is a multiple of 8, as long as the storage's `read` gives such memory.

        Raises:
            DataLossError: the bytes are not what was written.
        """
        ...

    def append(self, entries: Sequence[Entry]) -> Lsn:
        """Make a group of entries durable: all of them, or none.

        Args:
            entries: at least one.

        Returns:
            The LSN of the first; the others follow it.

        Raises:
            UnavailableError: the disk is full or failed. Nothing was applied, but where the message says that the
                outcome is unknown until Pinyon restarts.
        """
        ...

    def close(self) -> None:
        """Release the files. Nothing is left to be written."""
        ...
