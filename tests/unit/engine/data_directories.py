"""A small data directory with everything in it that one can have, made by the engine itself."""

from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np

from pinyon.engine.database import Database
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import CreateNamespace, DeleteRecords, UpsertRecords
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import NotFoundError, UnavailableError
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Metadata, RecordBatch
from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import Storage
from pinyon.testing.engine_model import PlainRecord, batch

FILMS = IndexDefinition(
    name="films",
    index_id="7f3c",
    vector_type=VectorType.DENSE,
    dimension=8,
    metric=Metric.DOTPRODUCT,
    port=5081,
    deployment=Deployment(kind="serverless"),
)
WORDS = IndexDefinition(
    name="words",
    index_id="91d0",
    vector_type=VectorType.SPARSE,
    dimension=None,
    metric=Metric.DOTPRODUCT,
    port=5082,
    deployment=Deployment(kind="serverless"),
)
FILMS_PATH = "indexes/7f3c"
SEGMENTS = f"{FILMS_PATH}/segments"
LOG = f"{FILMS_PATH}/log"
OPTIONS = MaintenanceOptions(graph_rows_min=400, build=BuildOptions(dedicated_rows_min=64))

Files = Mapping[str, bytes]


def open_database(storage: Storage) -> Database:
    """Open a data directory with segments that are dedicated, and have graphs, from few rows on."""
    salts = count(1)
    return Database(
        storage,
        new_salt=lambda: next(salts).to_bytes(16, "little"),
        log_file_bytes_max=1500,
        maintenance_options=OPTIONS,
    )


def make_directory(storage: Storage) -> None:
    """Write segments of both kinds, two of them compacted ones, a graph, dead rows, and a log beyond the manifest."""
    database = open_database(storage)
    database.create(FILMS)
    films = database.index("films")
    for start in (0, 240):
        films.write(UpsertRecords("large", records(start, start + 240)))
        for number in range(3):
            films.write(UpsertRecords(f"small-{number}", records(start, start + 4 + number)))
        films.maintenance.flush()
    films.maintenance.settle()
    films.write(CreateNamespace("declared"))
    films.write(UpsertRecords("large", records(10, 20, seed=1)))
    films.write(DeleteRecords("small-1", ["id-2", "id-242"]))
    films.maintenance.flush()
    for start in range(0, 20, 5):
        films.write(UpsertRecords("logged", records(start, start + 5)))
    database.create(WORDS)
    database.index("words").write(UpsertRecords("n", batch({"a": PlainRecord(None, {1: 2.0}, {})})))
    database.close()


def records(start: int, stop: int, seed: int = 0) -> RecordBatch:
    """Records with dense and sparse values and metadata."""
    made = {}
    for number in range(start, stop):
        rng = np.random.default_rng([seed, number])
        dense = tuple(rng.normal(size=8).astype(np.float32).tolist())
        metadata: Metadata = {
            "genre": f"g{number % 3}",
            "year": float(1950 + number),
            "tags": [f"t{number % 5}", "all"],
        }
        made[f"id-{number}"] = PlainRecord(dense, {number % 7: 1.0, 100 + number % 2: -2.0}, metadata)
    return batch(made)


def files_of(storage: Storage) -> dict[str, bytes]:
    """The content of every file by its path."""
    return dict(_files_below(storage, ""))


def _files_below(storage: Storage, folder: str) -> Iterator[tuple[str, bytes]]:
    for name in storage.list_directory(folder):
        path = f"{folder}/{name}".lstrip("/")
        try:
            yield path, bytes(storage.read(path))
        except (NotFoundError, UnavailableError):  # A folder.
            yield from _files_below(storage, path)


def storage_of(files: Files) -> MemoryStorage:
    """A storage with these files."""
    storage = MemoryStorage()
    for path, content in files.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            storage.make_directory("/".join(parts[:depth]))
        storage.replace(path, content)
    return storage


def made_files() -> dict[str, bytes]:
    """The files of a directory as `make_directory` makes it."""
    storage = MemoryStorage()
    make_directory(storage)
    return files_of(storage)


def flipped(files: Files, path: str, offset: int, bit: int) -> dict[str, bytes]:
    """The files with one bit of one of them changed."""
    content = bytearray(files[path])
    content[offset] ^= 1 << bit
    return {**files, path: bytes(content)}
