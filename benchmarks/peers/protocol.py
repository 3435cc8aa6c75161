"""What a competitor must offer to be measured: a `Peer`, opened by `open_peer` of its `module.py`.

What is timed is what a user waits for. A server's requests are encoded before the clock starts, since a client's work
happens on another machine; a library's calls take arrays, and what they make of them is part of their price.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Int64s = NDArray[np.int64]


class Where(NamedTuple):
    """A filter: the records whose `field` is `value`."""

    field: str
    value: str


class Batch(NamedTuple):
    """Records to insert. Record `n` has the id `str(n)`."""

    rows: range
    vectors: Floats
    """`(len(rows), dimension)`, of unit length where the metric is cosine."""

    metadata: list[dict[str, Any]]
    """Of each record: the fields that filters ask for, all strings, and whatever else the data came with."""


class Schema(NamedTuple):
    """What is to be stored."""

    dimension: int
    metric: str
    """`cosine`, `euclidean` or `dotproduct`."""

    filter_fields: tuple[str, ...]
    """The fields that filters ask for. Every record has them."""

    row_count: int
    """How many records will come, for libraries that must know."""


class Session(Protocol):
    """One client with a connection of its own, which asks with one effort. Used by one thread."""

    def encode(self, query: Floats, top_k: int, where: Where | None) -> Any:
        """The request for one query. Not timed."""

    def query(self, request: Any) -> Any:
        """Send a request and receive the whole answer. Timed, so as little as possible is done with the answer."""

    def rows(self, answer: Any) -> list[int]:
        """The records found, best first. Not timed."""

    def close(self) -> None: ...


class Peer(Protocol):
    """One competitor, started and empty."""

    insert_clients: int
    """How many threads insert side by side: as many as its users are told to use."""

    def create(self, schema: Schema) -> None:
        """Make an empty collection."""

    def encode_insert(self, batch: Batch) -> "bytes | Batch":
        """The bytes that insert a batch, made before the clock starts; a library gives the batch back."""

    def insert(self, encoded: "bytes | Batch") -> None:
        """Insert a batch. Returns once it is acknowledged. Called from `insert_clients` threads."""

    def wait_until_indexed(self) -> None:
        """Build whatever index queries need, or wait until it was built."""

    def session(self, effort: float | None) -> Session:
        """A new client.

        Args:
            effort: one of those in the `config.toml`; None leaves the competitor its own default. All clients at a
                time have the same.
        """

    def server_pids(self) -> list[int]:
        """The processes of the server, whose children count too; none if it runs within this one."""

    def versions(self) -> dict[str, str]:
        """What was measured: packages and their versions."""

    def stop(self) -> None:
        """Stop all processes that were started."""


class OpenPeer(Protocol):
    """The function `open_peer` of a `module.py`."""

    def __call__(self, folder: Path, options: dict[str, Any]) -> Peer:
        """Start a competitor.

        Args:
            folder: an empty folder for its files.
            options: those of the variant in its `config.toml`.
        """
