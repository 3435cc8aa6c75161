"""What open graphs take in memory beside their mapped files, those of all indexes together.

Thread rule: any thread may call any method; one at a time opens graphs (see `pinyon.engine.maintenance`), so that what
there was room for does not become too much.
"""

import threading
from weakref import WeakSet

from pinyon.ann.graph import Graph, open_bytes


class GraphMemory:
    """Counts graphs for as long as somebody searches them, and bounds what they take."""

    def __init__(self, bytes_max: int) -> None:
        """Begin without a graph."""
        self._bytes_max = bytes_max
        self._open: WeakSet[Graph] = WeakSet()
        self._lock = threading.Lock()

    def has_room(self, row_count: int) -> bool:
        """True if a graph of so many rows may be opened beside the others."""
        with self._lock:
            taken_bytes = sum(graph.memory_bytes for graph in self._open)
        return taken_bytes + open_bytes(row_count) <= self._bytes_max

    def counted(self, graph: Graph) -> Graph:
        """The graph, which is counted from now on."""
        with self._lock:
            self._open.add(graph)
        return graph
