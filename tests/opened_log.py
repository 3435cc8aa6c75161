"""A log as a start opens it: read, and what a stop left put right."""

from itertools import count

from pinyon.log.file_log import FILE_BYTES_MAX, FileLog
from pinyon.log.protocol import FIRST_LSN
from pinyon.model.record import Lsn
from pinyon.storage.protocol import Storage

_salts = count(2**64)
"""Never those of a database, which tests count from small numbers on."""


def open_log(
    storage: Storage,
    directory: str,
    *,
    file_bytes_max: int = FILE_BYTES_MAX,
    begin_lsn: Lsn = FIRST_LSN,
    kind: type[FileLog] = FileLog,
) -> FileLog:
    """Open the log in a folder whose parent exists, or start one there."""
    log = kind(
        storage,
        directory,
        new_salt=lambda: next(_salts).to_bytes(16, "little"),
        file_bytes_max=file_bytes_max,
        begin_lsn=begin_lsn,
    )
    log.repair()
    return log
