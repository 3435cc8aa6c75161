"""The newest file of a log, which frames go to: created, or opened again after what a stop left was put right.

What must hold when a frame is first written to it: all bytes of the log before that frame are durable, and so is the
name of the file.
"""

from typing import NamedTuple

from pinyon.errors import UnavailableError
from pinyon.log.frame import FileHeader, encode_file_header
from pinyon.log.recovery import Recovery, log_file_path
from pinyon.model.record import Lsn
from pinyon.storage.protocol import AppendFile, Storage


class NewestFile(NamedTuple):
    """The file that frames go to."""

    file: AppendFile
    seed: int
    first_lsn: Lsn


def create_newest(storage: Storage, directory: str, header: FileHeader) -> NewestFile:
    """Create the file of the entries from the header's LSN on. After a failure it may be tried again.

    Raises:
        UnavailableError: the disk failed.
    """
    path = log_file_path(directory, header.first_lsn)
    storage.remove(path)  # Left by an attempt that failed; it holds no frame, as its LSN was not given out.
    file = storage.create(path)
    try:
        file.append([encode_file_header(header)])
        file.sync()
        storage.sync_directory(directory)
    except UnavailableError:
        file.close()  # Not in doubt like a failed frame: no later sync of this file will be relied on.
        raise
    return NewestFile(file, header.seed, header.first_lsn)


def repaired_newest(storage: Storage, directory: str, recovered: Recovery) -> NewestFile | None:
    """Cut and remove what did not finish, make the rest durable, and open the last file, if there is one.

    Raises:
        UnavailableError: the disk failed.
    """
    if recovered.unfinished_path is not None:
        storage.remove(recovered.unfinished_path)
    storage.sync_directory(directory)
    if not recovered.files:
        return None
    last = recovered.files[-1]
    file = storage.open_append(last.path)
    try:
        if recovered.torn_bytes:
            file.truncate(len(last.content))
        file.sync()
        for path in recovered.leftover_paths:
            storage.remove(path)
        if recovered.leftover_paths:
            storage.sync_directory(directory)
    except UnavailableError:
        file.close()
        raise
    return NewestFile(file, last.header.seed, last.header.first_lsn)
