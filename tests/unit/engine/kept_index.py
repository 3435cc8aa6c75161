"""An index whose work in the background waits until a test asks for it."""

from collections import deque
from itertools import count

from pinyon.engine.background import Work
from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.model.metric import Metric
from pinyon.model.record import Metadata
from pinyon.testing.engine_model import PlainRecord, batch
from pinyon.testing.simulated_disk import SimulatedDisk
from tests.unit.engine.searched_index import definition_of

MEMTABLE_BYTES_MAX = 100_000
OPTIONS = MaintenanceOptions(
    memtable_bytes_max=MEMTABLE_BYTES_MAX,
    idle_flush_bytes=8_000,
    log_bytes_max=200_000,
    idle_ticks=3,
    quiet_bytes=0,
    graph_rows_min=0,
    build=BuildOptions(dedicated_rows_min=10_000),
    compaction=CompactionOptions(fan_in=3),
)


class Kept:
    """An index whose work waits until it is asked for."""

    def __init__(self, options: MaintenanceOptions = OPTIONS) -> None:
        self.disk = SimulatedDisk()
        self.flushes: deque[Work] = deque()
        self.work: deque[Work] = deque()
        salts = count()
        database = Database(
            self.disk,
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=2**20,
            flush_later=self.flushes.append,
            work_later=self.work.append,
            maintenance_options=options,
        )
        self.index: Index = database.create(definition_of(1, Metric.DOTPRODUCT))
        self._ids = count()

    def write(self, records: int = 1, bytes_each: int = 0) -> None:
        text: Metadata = {"text": "x" * bytes_each} if bytes_each else {}
        ids = [str(next(self._ids)) for _ in range(records)]
        self.index.write(UpsertRecords("n", batch(dict.fromkeys(ids, PlainRecord((1,), {}, text)))))

    def fill(self, share: float) -> None:
        """Write until memtables hold this share of what they may, at least."""
        while self.memory_bytes < share * MEMTABLE_BYTES_MAX:
            self.write(1, 5000)

    @property
    def memory_bytes(self) -> int:
        return self.index._state.namespaces.memory_bytes

    @property
    def segment_count(self) -> int:
        return len(self.index._state.store.segments)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.index.maintenance.tick()

    def flush_later(self) -> None:
        self.flushes.popleft()()
