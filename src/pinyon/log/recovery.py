"""What is found when a log is opened, and what may be repaired. Reads only; `FileLog.repair` repairs.

Why at most the end of the last file can be unfinished: a frame is written after the sync of the one before it, and a
file is created after the sync of all frames in the one before it. So a stop, whenever it comes, leaves either a torn
frame behind which no other was written, or a torn file header in a last file without frames. The rule:

1. Entries before a given LSN are not needed: their effect is durable elsewhere. The log starts with the last file whose
   name says that LSN or an earlier one. Files before it are what a trim did not remove, or not durably; nothing of them
   is read. From the start on, files follow one another by the LSN in their names, and frames by their LSN, also from
   file to file, and they reach at least the entry before the given LSN. Anything else is data loss.
2. The last file, if it is no longer than a file header and that header is not whole, is an unfinished creation: it is
   removed. The files before it are then still files that another one followed.
3. A frame that is not whole, in the last file and with no frame header behind it, is a torn tail: it is cut.
   With a frame header behind it, or in an earlier file, it had been synced, and so it is data loss.

The last frame of the log may thus be lost to damage that looks like a torn write. Nothing on disk tells the two apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pinyon.errors import DataLossError, FailedPreconditionError
from pinyon.log.frame import (
    FILE_HEADER_BYTES,
    FORMAT_VERSION,
    FileHeader,
    decode_entries,
    decode_file_header,
    decode_frame,
    find_frame_header,
)
from pinyon.log.protocol import FIRST_LSN
from pinyon.model.record import Lsn
from pinyon.storage.protocol import Storage

_FILE_NAME: Final = re.compile(r"(\d{20})\.log")


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of the log: its header and all bytes that are whole frames, the header's own bytes included."""

    path: str
    header: FileHeader
    content: memoryview

    def entries(self, begin_lsn: Lsn = FIRST_LSN) -> Iterator[tuple[Lsn, memoryview]]:
        """The entries of the file from `begin_lsn` on, whose frames were checked when it was recovered.

        Raises:
            DataLossError: a frame was written wrong, or the mapped file changed since.
        """
        offset = FILE_HEADER_BYTES
        while offset < len(self.content):
            frame = decode_frame(self.content, offset, self.header.seed)
            if frame is None:
                raise _data_loss(self.path, offset, "the frame changed while the log was open")
            try:
                yield from ((lsn, entry) for lsn, entry in decode_entries(frame) if lsn >= begin_lsn)
            except DataLossError as error:
                raise _data_loss(self.path, offset, error.message) from error
            offset = frame.end


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found.

    Attributes:
        files: in order; only the last may have a torn tail.
        next_lsn: the LSN that follows the last whole frame.
        torn_bytes: length of the torn tail to be cut off the last of `files`.
        unfinished_path: a file to be removed, whose creation did not finish; None if there is none.
        leftover_paths: files to be removed that hold nothing which is needed, oldest first. To be removed only when
            the last of `files` and its name have been synced: they may stand in for what a power cut takes.
    """

    files: list[LogFile]
    next_lsn: Lsn
    torn_bytes: int
    unfinished_path: str | None
    leftover_paths: list[str]


def log_file_path(directory: str, first_lsn: Lsn) -> str:
    """Where the file is whose first entry has that LSN."""
    return f"{directory}/{first_lsn:020}.log"


def recover(storage: Storage, directory: str, begin_lsn: Lsn = FIRST_LSN) -> Recovery:
    """Read the files of a log that may have entries from `begin_lsn` on, and check every frame in them.

    Other names in the folder are left alone.

    Raises:
        DataLossError: bytes that had been synced are damaged or missing; names the file.
        FailedPreconditionError: a file has a format version that this Pinyon does not know.
    """
    paths = [f"{directory}/{name}" for name in storage.list_directory(directory) if _FILE_NAME.fullmatch(name)]
    unfinished_path = paths.pop() if paths and _is_unfinished_creation(storage.read(paths[-1])) else None
    start = _start(directory, paths, begin_lsn)
    files: list[LogFile] = []
    next_lsn, torn_bytes = _first_lsn(paths[start]) if paths else FIRST_LSN, 0
    for path in paths[start:]:
        _check_name_follows(path, next_lsn)
        content, is_last = storage.read(path), path == paths[-1] and unfinished_path is None
        file, next_lsn = _check_file(path, content, next_lsn, is_last=is_last)
        files.append(file)
        torn_bytes = len(content) - len(file.content)
    if unfinished_path is not None:
        _check_name_follows(unfinished_path, next_lsn)
    if next_lsn < begin_lsn:
        what = f"the log ends at LSN {next_lsn - 1}, but had reached {begin_lsn - 1}"
        raise _data_loss(files[-1].path, len(files[-1].content), what)
    return Recovery(files, next_lsn, torn_bytes, unfinished_path, paths[:start])


def _start(directory: str, paths: list[str], begin_lsn: Lsn) -> int:
    """Which file is the first that may have entries from `begin_lsn` on; 0 for a log without files that needs none."""
    start = sum(_first_lsn(path) <= begin_lsn for path in paths) - 1
    if start >= 0:
        return start
    if paths:
        _check_name_follows(paths[0], begin_lsn)
    if begin_lsn > FIRST_LSN:
        raise DataLossError(
            f"{directory} has no file with LSN {begin_lsn}, which the log had reached; restore it from a backup"
        )
    return 0


def _check_file(path: str, content: memoryview, next_lsn: Lsn, *, is_last: bool) -> tuple[LogFile, Lsn]:
    """The file without its torn tail, and the LSN that follows it."""
    header = _check_header(path, content, next_lsn)
    offset = FILE_HEADER_BYTES
    while (frame := decode_frame(content, offset, header.seed)) is not None:
        if frame.first_lsn != next_lsn:
            raise _data_loss(path, offset, f"a frame starts at LSN {frame.first_lsn} where {next_lsn} must follow")
        next_lsn += frame.entry_count
        offset = frame.end
    if offset < len(content):
        _check_torn(path, content, offset, header.seed, next_lsn, is_last=is_last)
    return LogFile(path, header, content[:offset]), next_lsn


def _check_torn(path: str, content: memoryview, offset: int, seed: int, next_lsn: Lsn, *, is_last: bool) -> None:
    """Raise if the frame at `offset`, which is not whole, had been synced."""
    if not is_last:
        raise _data_loss(path, offset, "the frame is damaged, and another log file follows")
    following = find_frame_header(content, offset + 8, seed, next_lsn)
    if following is not None:
        raise _data_loss(path, offset, f"the frame is damaged, and another frame follows at byte {following}")


def _check_header(path: str, content: memoryview, next_lsn: Lsn) -> FileHeader:
    header = decode_file_header(content)
    if header is None:
        raise _data_loss(path, 0, "the file header is damaged")
    if header.version != FORMAT_VERSION:
        raise FailedPreconditionError(
            f"{path} has log format {header.version}; this Pinyon reads format {FORMAT_VERSION}: "
            "open the data directory with the version of Pinyon that wrote it"
        )
    if header.first_lsn != next_lsn:
        raise _data_loss(path, 0, f"the file header says LSN {header.first_lsn} where {next_lsn} must follow")
    return header


def _check_name_follows(path: str, next_lsn: Lsn) -> None:
    first_lsn = _first_lsn(path)
    if first_lsn != next_lsn:
        raise _data_loss(path, 0, f"the file starts at LSN {first_lsn} where {next_lsn} must follow; a file is missing")


def _first_lsn(path: str) -> Lsn:
    """The LSN in the name of a log file."""
    return int(path.rpartition("/")[2].removesuffix(".log"))


def _is_unfinished_creation(content: memoryview) -> bool:
    return len(content) <= FILE_HEADER_BYTES and decode_file_header(content) is None


def _data_loss(path: str, offset: int, what: str) -> DataLossError:
    return DataLossError(f"{path}, byte {offset}: {what}; restore it from a backup")
