"""What libraries have in common: no server, no wire, and one thread that inserts."""

from typing import Any

from benchmarks.peers.protocol import Batch


class Library:
    """The parts of `protocol.Peer` that are the same for all that run in the worker's own process."""

    insert_clients = 1

    def encode_insert(self, batch: Batch) -> bytes | Batch:
        return batch

    def wait_until_indexed(self) -> None:
        """Nothing to wait for, unless a library has more to do."""

    def server_pids(self) -> list[int]:
        return []

    def stop(self) -> None:
        """Nothing to stop."""


class NoWires:
    """The parts of `protocol.Session` that are the same for most libraries: an answer is an array of rows."""

    def rows(self, answer: Any) -> list[int]:
        return [int(row) for row in answer if row >= 0]

    def close(self) -> None:
        """Nothing to close."""
