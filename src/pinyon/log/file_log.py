"""A log in files of a storage, one sync for each group of entries.

What must hold:

- A frame is synced before the next one is written, and the header and the name of a file before any frame in it.
  So at most the last frame of the log can be torn; `pinyon.log.recovery` rests on this.
- A frame whose write failed is cut off again, durably, before its LSNs are used for other entries.
- After an operation whose outcome is unknown (a sync failed, or the cut did) nothing is written any more: the kernel
  may have dropped the bytes and forgotten it, so that a second sync would succeed without them. Opening again helps.
- A process may have died without a power cut and left bytes in the kernel's cache: what a start found is synced before
  anything is appended behind it, or any file before it is removed.
- A file is removed only when another one follows it that is durable, with its name: a log never loses its place.
- Reading changes nothing. What a stop left is put right by `repair`, once all that needs the log was found whole.

Thread rule: one thread at a time appends; any other may call `roll` and `trim` meanwhile. `_lock` guards which files
there are, and is never held while the disk is waited for.
"""

import threading
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from posixpath import dirname
from typing import Final, NamedTuple

from pinyon.errors import UnavailableError
from pinyon.log.frame import FILE_HEADER_BYTES, FileHeader, encode_frame
from pinyon.log.newest_file import NewestFile, create_newest, repaired_newest
from pinyon.log.protocol import FIRST_LSN, Entry
from pinyon.log.recovery import LogFile, Recovery, log_file_path, recover
from pinyon.model.record import Lsn
from pinyon.storage.protocol import AppendFile, BytesLike, Storage

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Size from which on a file is followed by the next. Large enough that creating files costs nothing, small enough that
trimming the log frees space in steps that people notice."""


class _FullFile(NamedTuple):
    """A file that another one follows. They sort by age."""

    first_lsn: Lsn
    path: str
    size_bytes: int


class FileLog:
    """The log in one folder. See `pinyon.log.protocol.Log` for its contract.

    Attributes:
        torn_bytes: how much of an unfinished write was found, and is cut off; 0 after a clean stop.
    """

    def __init__(
        self,
        storage: Storage,
        directory: str,
        *,
        new_salt: Callable[[], bytes],
        file_bytes_max: int = FILE_BYTES_MAX,
        begin_lsn: Lsn = FIRST_LSN,
    ) -> None:
        """Read the log in a folder, and change nothing: until `repair`, only `replay` is for use.

        Args:
            storage: where the folder is; nothing else writes to it.
            directory: the folder; `repair` creates it when missing.
            new_salt: gives 16 bytes that are new each time.
            file_bytes_max: size from which on a file is followed by the next.
            begin_lsn: the first entry that is needed. That those before it were in the log, and need not be any more,
                is known durably.

        Raises:
            DataLossError: bytes that had been synced are damaged or missing, or the log does not reach the entry
                before `begin_lsn`; names the file.
            FailedPreconditionError: a file has a format version that this Pinyon does not know.
            UnavailableError: the disk failed.
        """
        self._storage = storage
        self._directory = directory
        recovered = recover(storage, directory, begin_lsn)
        self._recovered: Sequence[LogFile] = recovered.files
        self._unrepaired: Recovery | None = recovered
        self._next_lsn = recovered.next_lsn
        self._begin_lsn = begin_lsn
        self._lock = threading.Lock()
        self._full_files = [
            _FullFile(file.header.first_lsn, file.path, len(file.content)) for file in recovered.files[:-1]
        ]
        self._newest: NewestFile | None = None
        self._newest_lsn_min: Lsn = FIRST_LSN
        self._new_salt = new_salt
        self._file_bytes_max = max(file_bytes_max, FILE_HEADER_BYTES)  # A file without frames is never full.
        self._stopped_by: str | None = None
        self.torn_bytes: Final = recovered.torn_bytes

    def repair(self) -> None:
        """Cut off and remove what a stop left, and open the log for appending; once.

        Raises:
            UnavailableError: the disk failed.
        """
        assert self._unrepaired is not None
        self._storage.make_directory(self._directory)
        self._storage.sync_directory(dirname(self._directory))
        self._newest = repaired_newest(self._storage, self._directory, self._unrepaired)
        self._unrepaired = None

    @property
    def last_lsn(self) -> Lsn:
        """LSN of the newest durable entry; 0 if there is none."""
        return self._next_lsn - 1

    @property
    def size_bytes(self) -> int:
        """Bytes that the log takes on its storage."""
        with self._lock:
            return sum(file.size_bytes for file in self._full_files) + (self._newest.file.size if self._newest else 0)

    def replay(self) -> Iterator[tuple[Lsn, memoryview]]:
        """The entries that were there when the log was opened, oldest first, as views of the mapped files.

        They begin with the LSN that the log was opened with.

        Raises:
            DataLossError: the bytes are not what was written.
        """
        for file in self._recovered:
            yield from file.entries(self._begin_lsn)

    def path_of(self, lsn: Lsn) -> str:
        """The file of an entry that `replay` gave."""
        return max(file.path for file in self._recovered if file.header.first_lsn <= lsn)

    @property
    def has_files(self) -> bool:
        """True if there is a file, as there is from `begin` on."""
        return self._newest is not None or (self._unrepaired is not None and bool(self._unrepaired.files))

    def begin(self) -> None:
        """Create the first file, durably, so that a log without files is known to have lost them.

        After `roll`, create the next one, while nobody appends.

        Raises:
            UnavailableError: the disk failed.
        """
        self._newest = self._newest_with_room()

    def forget_recovered(self) -> None:
        """Give up what `replay` reads, and the mapped files with it, once it has been replayed."""
        self._recovered = ()

    def append(self, entries: Sequence[Entry]) -> Lsn:
        """Make a group of entries durable with one sync: all of them, or none.

        Args:
            entries: at least one.

        Returns:
            The LSN of the first; the others follow it.

        Raises:
            UnavailableError: the disk is full or failed. Nothing was applied, but where the message says that the
                outcome is unknown until Pinyon restarts.
        """
        assert entries
        if self._stopped_by is not None:
            raise UnavailableError(f"the log takes no more writes: {self._stopped_by}")
        newest = self._newest_with_room()
        first_lsn = self._next_lsn
        frame = encode_frame(entries, first_lsn, newest.seed)
        # Stopped until the outcome is known, whatever may be raised on the way.
        self._stopped_by = f"an append to {self._directory} did not finish; restart Pinyon to recover"
        self._write(newest.file, frame)
        self._next_lsn = first_lsn + len(entries)
        self._stopped_by = None
        return first_lsn

    def roll(self) -> None:
        """Let the next append go to a file of its own, so that a trim can free all that is before it.

        Nothing happens while there is no entry to be left behind. Any thread may call this.
        """
        self._newest_lsn_min = self._next_lsn

    def trim(self, begin_lsn: Lsn) -> int:
        """Remove the files all of whose entries are before `begin_lsn`, oldest first, but never the newest file.

        Any thread may call this, also while another one appends or trims. A file that cannot be removed is there for
        the next call; one whose removal a power cut undoes is removed when the log is opened.

        Args:
            begin_lsn: the first entry that is needed; that it is must be known durably, since the log cannot be opened
                with an earlier one from now on.

        Returns:
            How many bytes were freed.

        Raises:
            UnavailableError: the disk failed. Nothing that is needed was lost.
        """
        assert begin_lsn <= self._next_lsn
        freed_bytes = 0
        while (file := self._take_trimmable(begin_lsn)) is not None:
            try:
                self._storage.remove(file.path)
            except BaseException:
                with self._lock:
                    insort(self._full_files, file)
                raise
            freed_bytes += file.size_bytes
        if freed_bytes:
            self._storage.sync_directory(self._directory)
        return freed_bytes

    def _take_trimmable(self, begin_lsn: Lsn) -> _FullFile | None:
        """Take the oldest file out of those that are there, if all its entries are before `begin_lsn`."""
        with self._lock:
            if not self._full_files:
                return None
            assert self._newest is not None
            following_lsn = self._full_files[1].first_lsn if len(self._full_files) > 1 else self._newest.first_lsn
            return self._full_files.pop(0) if following_lsn <= begin_lsn else None

    def close(self) -> None:
        """Release the files. Views that `replay` gave stay valid."""
        self._stopped_by = f"the log {self._directory} is closed"
        self._recovered = ()
        if self._newest is not None:
            self._newest.file.close()

    def _write(self, file: AppendFile, frame: Sequence[BytesLike]) -> None:
        """Append and sync a frame. Clears `_stopped_by` if it failed and is certain not to be there."""
        whole_bytes = file.size
        try:
            file.append(frame)
        except UnavailableError:
            file.truncate(whole_bytes)
            file.sync()
            self._stopped_by = None
            raise
        try:
            file.sync()
        except UnavailableError as error:
            with suppress(UnavailableError):
                # Else the next process would find the frame in the kernel's cache and take it for durable.
                file.truncate(whole_bytes)
            raise UnavailableError(
                f"{error.message}; whether the write is on disk is unknown until Pinyon restarts"
            ) from error

    def _newest_with_room(self) -> NewestFile:
        assert self._unrepaired is None
        newest = self._newest
        # A file without frames, whose first LSN is the next one, always has room: a new one would have its name.
        if newest is not None and newest.file.size <= self._file_bytes_max and newest.first_lsn >= self._newest_lsn_min:
            return newest
        created = create_newest(self._storage, self._directory, FileHeader(self._new_salt(), self._next_lsn))
        with self._lock:
            if newest is not None:
                path = log_file_path(self._directory, newest.first_lsn)
                self._full_files.append(_FullFile(newest.first_lsn, path, newest.file.size))
            self._newest = created
        if newest is not None:
            newest.file.close()
        return created
