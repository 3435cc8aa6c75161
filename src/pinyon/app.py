"""The composition root: the one place that knows every part, and joins them into a server."""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
import sys
from pathlib import Path

import msgspec
import threadpoolctl

from pinyon.clock import Clock, RandomIds, SystemClock
from pinyon.engine.background import Background, Ticker
from pinyon.engine.database import Database
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.report import Report
from pinyon.errors import UnavailableError
from pinyon.inference.backends import Backends, ModelOptions
from pinyon.inference.worker import WorkerLimits
from pinyon.model.index import IndexDefinition
from pinyon.service.admission import Admission
from pinyon.service.auth import Authenticator
from pinyon.service.control_plane import ControlPlane
from pinyon.service.data_plane import DataPlane
from pinyon.service.inference import Inference
from pinyon.service.records import Records
from pinyon.settings import ModelSettings, SearchSettings, ServerSettings, Settings
from pinyon.storage.local import LocalStorage
from pinyon.storage.lock import lock_directory
from pinyon.storage.machine import machine_memory_bytes, processor_count, raise_file_limit, save_memory
from pinyon.telemetry import configure, log_event
from pinyon.wire.asgi import Application, Gate
from pinyon.wire.closed_routes import ClosedRoutes
from pinyon.wire.grpc.servicer import GrpcRoutes
from pinyon.wire.listeners import Listener, ListenOptions, bind, bind_first_free
from pinyon.wire.rest.control_plane import ControlPlaneRoutes
from pinyon.wire.rest.data_plane import DataPlaneRoutes
from pinyon.wire.tls import TlsFiles, ensure_local_certificates, given_certificates, local_names, trust_help
from pinyon.wire.tls_hint import tls_hints
from pinyon.wire.workers import Workers

_CONTROL_THREADS = 4
"""Threads of the control plane, of its own: deleting an index waits for the requests to it."""

_FILES_MIN = 4096
"""Files that may be open, below which the start warns: a segment takes one, so does a connection."""

_LEAVE_TIMEOUT_S = 1.0
"""How long the deletion of an index waits for the requests to it, so that its port is free at once where it can be."""

_MODEL_THREADS = 128
"""Threads of requests that take a model, which they wait for nearly all the time. More than may wait for one model (see
`WorkerLimits`), so that one that hangs leaves room for the others."""

_MODEL_REQUESTS_WAITING_MAX = 64
"""How many such requests may wait for one of these threads; more are told to come again."""

_TICK_S = 1.0
"""How often is looked for maintenance that is due."""

_WORKER_THREADS = 32
"""Threads that answer requests. Most of them wait for a disk or are in native code, so there are more than processors;
a group commit gathers at most so many writes."""

_BUILD_THREADS_MAX = 4
"""Threads that build a graph, where nothing else is set: the more there are, the more rows are never found in it."""

_NICENESS = {"runs": 0, "flush": 5, "work": 10}
"""The threads that no request waits for, and how far each stands back from those that answer.

Runs make the next queries faster, and must keep up with the writes. A flush comes before a merge, as writes wait where
memory is full.
"""

log = logging.getLogger(__name__)


class ServedIndexes:
    """The indexes of a database, each served on its own port: `pinyon.service.control_plane.Indexes`.

    Called from worker threads; ports are opened and closed on the event loop.
    """

    def __init__(
        self, database: Database, inference: Inference, gate: Gate, settings: Settings, options: ListenOptions
    ) -> None:
        """Serve what is in `database`, with the models of `inference`, once `start` was called."""
        self._database = database
        self._inference = inference
        self._gate = gate
        self._settings = settings
        self._options = options
        self._listeners: dict[str, Listener] = {}
        self._leaving: set[Listener] = set()
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Open the port of every index that exists."""
        for definition in self._database.definitions():
            try:
                sockets = bind(self._options.host, definition.port)
            except UnavailableError as error:
                raise UnavailableError(f"{error.message}; it is the port of the index {definition.name}") from error
            await self._serve(definition, sockets)

    async def stop(self) -> None:
        """Close all ports, finishing the requests in flight."""
        await asyncio.gather(*(listener.stop() for listener in (*self._listeners.values(), *self._leaving)))

    def definitions(self) -> list[IndexDefinition]:
        """All indexes, oldest first."""
        return self._database.definitions()

    def get(self, name: str) -> IndexDefinition:
        """The definition of one index."""
        return self._database.get(name)

    def why_closed(self, name: str) -> str | None:
        """Why an index is not served; None if it is."""
        return self._database.why_closed(name)

    def create(self, definition: IndexDefinition) -> IndexDefinition:
        """Create an index on the first free port and serve it."""
        taken = {index.port for index in self._database.definitions()}
        free = (port for port in self._settings.server.index_port_range if port not in taken)
        port, sockets = bind_first_free(self._options.host, free)
        try:
            index = self._database.create(msgspec.structs.replace(definition, port=port))
        except BaseException:
            for bound in sockets:
                bound.close()
            raise
        try:
            asyncio.run_coroutine_threadsafe(self._serve(index.definition, sockets), self._loop).result()
        except BaseException:
            self._database.delete(definition.name)
            raise
        log_event(log, logging.INFO, "created index", index=definition.name, port=port)
        return index.definition

    def change(self, definition: IndexDefinition) -> None:
        """Replace the definition of an index."""
        self._database.change(definition)

    def delete(self, name: str) -> None:
        """Delete an index, then close its port.

        Requests to it that are still under way, waiting for a model perhaps, find it closed; nobody waits for them.
        """
        definition = self._database.get(name)
        self._database.delete(name)
        leaving = self._leave(self._listeners.pop(definition.index_id))
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(leaving, self._loop).result(_LEAVE_TIMEOUT_S)
        log_event(log, logging.INFO, "deleted index", index=name, port=definition.port)

    def report(self) -> Report:
        """Who uses what."""
        return self._database.report()

    async def _leave(self, listener: Listener) -> None:
        self._leaving.add(listener)
        await listener.stop()
        self._leaving.discard(listener)

    async def _serve(self, definition: IndexDefinition, sockets: list[socket.socket]) -> None:
        listener = Listener(self._application(definition.name), sockets, self._options)
        try:
            await listener.start()
        except BaseException:
            await listener.stop()
            raise
        self._listeners[definition.index_id] = listener

    def _application(self, name: str) -> Application:
        why_closed = self._database.why_closed(name)
        if why_closed is not None:
            closed = ClosedRoutes(why_closed)
            return Application(self._gate, closed, closed)
        data_plane = DataPlane(self._database.index(name), upsert_bytes_max=self._settings.limits.upsert_bytes_max)
        routes = DataPlaneRoutes(data_plane, Records(data_plane, self._inference))
        return Application(self._gate, routes, GrpcRoutes(data_plane))


def run(settings: Settings) -> None:
    """Run a server until SIGTERM or SIGINT, then finish the requests in flight and stop.

    Raises:
        FailedPreconditionError: another server uses the data directory.
        DataLossError: the catalog is damaged; an index that is leaves the others to be served.
        UnavailableError: a port is taken, or the disk failed.
    """
    configure(settings.telemetry.level)
    _raise_file_limit()
    root = Path(settings.server.data_dir)
    storage = LocalStorage(root)
    save_memory(is_scarce=settings.server.memory_limit_bytes is not None)
    # One thread a matrix product: queries run beside one another already, and threads of BLAS spin while they wait.
    # Eight clients over 100,000 rows got 8 answers a second from two processors with two threads, 112 with one.
    with lock_directory(root), threadpoolctl.threadpool_limits(1, user_api="blas"):
        asyncio.run(_serve(settings, root, storage))


async def _serve(settings: Settings, root: Path, storage: LocalStorage) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    options = ListenOptions(settings.server.host, _tls_files(settings.server, root), settings.server.stop_timeout_s)
    backends = Backends(_model_options(settings.models), SystemClock())
    control_sockets = bind(settings.server.host, settings.server.port)
    async with contextlib.AsyncExitStack() as stack:
        runs, flushes, work = (
            stack.enter_context(contextlib.closing(Background(name, niceness=_NICENESS[name])))
            for name in ("runs", "flush", "work")
        )
        limit_bytes = memory_limit_bytes(settings.server)
        database = Database(
            storage,
            new_salt=lambda: bytes.fromhex(RandomIds().new_id()),
            log_file_bytes_max=settings.log.file_bytes_max,
            run_later=runs.submit,
            flush_later=flushes.submit,
            work_later=work.submit,
            maintenance_options=maintenance_options(settings.search),
            memory_limit_bytes=limit_bytes,
        )
        stack.enter_context(contextlib.closing(database))
        stack.enter_context(contextlib.closing(Ticker(database.tick, _TICK_S)))
        workers = await stack.enter_async_context(Workers(_WORKER_THREADS))
        control_workers = await stack.enter_async_context(Workers(_CONTROL_THREADS, name="control"))
        model_workers = await stack.enter_async_context(
            Workers(_MODEL_THREADS, name="text", waiting_max=_MODEL_REQUESTS_WAITING_MAX)
        )
        # Closed before the threads that wait for models are waited for.
        stack.enter_context(contextlib.closing(backends))
        gate = _gate(settings, workers, model_workers)
        inference = Inference(backends.registry)
        indexes = ServedIndexes(database, inference, gate, settings, options)
        await indexes.start()
        control_plane = ControlPlane(indexes, backends.registry, gate.clock, gate.ids)
        routes = ControlPlaneRoutes(
            control_plane, lambda definition: advertised(settings.server, definition.port), inference
        )
        control_gate = dataclasses.replace(gate, workers=control_workers)
        control = Listener(Application(control_gate, routes), control_sockets, options)
        await control.start()
        _announce(settings.server, options, len(database.definitions()))
        with _hints(settings.server, indexes, gate.clock):
            await stopping.wait()
        log_event(log, logging.INFO, "stopping")
        # The control plane first: no index may be created while the others are being stopped.
        await control.stop()
        await indexes.stop()
    log_event(log, logging.INFO, "stopped")


def _raise_file_limit() -> None:
    """Have as many files open as the system allows, and warn where these are few."""
    limit = raise_file_limit()
    if limit < _FILES_MIN:
        log_event(log, logging.WARNING, "few files may be open", limit=limit, needed=_FILES_MIN)


def advertised(server: ServerSettings, port: int) -> str:
    """Where clients reach a port: with the scheme in plain text, bare under TLS.

    Every client takes a host without a scheme for https, and the gRPC clients take only such a host for TLS.
    """
    host = f"{server.advertised_host}:{port}"
    return host if server.tls else f"http://{host}"


def memory_limit_bytes(server: ServerSettings) -> int | None:
    """The memory to plan with: what was given, or half of the machine's; None where that is not known."""
    if server.memory_limit_bytes is not None:
        return server.memory_limit_bytes
    machine_bytes = machine_memory_bytes()
    return None if machine_bytes is None else machine_bytes // 2


def maintenance_options(search: SearchSettings) -> MaintenanceOptions:
    """What settings say of the maintenance of indexes."""
    threads = search.build_threads or min(processor_count(), _BUILD_THREADS_MAX)
    return MaintenanceOptions(target_recall=search.target_recall, build_threads=threads)


def _gate(settings: Settings, workers: Workers, model_workers: Workers) -> Gate:
    admission = Admission(
        requests_max=settings.limits.requests_in_flight_max,
        bytes_max=_bytes_in_flight_max(settings),
        request_bytes_max=settings.limits.request_bytes_max,
    )
    authenticator = Authenticator(settings.server.api_keys)
    return Gate(authenticator, admission, workers, model_workers, SystemClock(), RandomIds())


def _bytes_in_flight_max(settings: Settings) -> int:
    """As set, but no more than a quarter of the memory to plan with, and at least one request."""
    limits, memory_bytes = settings.limits, memory_limit_bytes(settings.server)
    if memory_bytes is None:
        return limits.bytes_in_flight_max
    return min(limits.bytes_in_flight_max, max(memory_bytes // 4, limits.request_bytes_max))


def _model_options(models: ModelSettings) -> ModelOptions:
    return ModelOptions(
        stand_ins=models.stand_ins,
        backends=models.backends,
        api_key=models.api_key,
        cache_dir=models.cache_dir,
        threads=models.threads,
        limits=WorkerLimits(pieces_max=models.texts_waiting_max, timeout_s=models.timeout_s),
    )


def _hints(server: ServerSettings, indexes: ServedIndexes, clock: Clock) -> contextlib.AbstractContextManager[None]:
    if server.tls:
        return contextlib.nullcontext()

    def url_of(port: int) -> str | None:
        is_served = port == server.port or any(index.port == port for index in indexes.definitions())
        return advertised(server, port) if is_served else None

    return tls_hints(server.port, server.index_port_range, url_of, clock)


def _tls_files(server: ServerSettings, root: Path) -> TlsFiles | None:
    if not server.tls:
        return None
    if server.tls_certificate_file and server.tls_key_file:
        return given_certificates(Path(server.tls_certificate_file), Path(server.tls_key_file))
    return ensure_local_certificates(root / "tls", local_names(server.advertised_host))


def _announce(server: ServerSettings, options: ListenOptions, index_count: int) -> None:
    scheme = "https" if server.tls else "http"
    url = f"{scheme}://{server.advertised_host}:{server.port}"
    log_event(log, logging.INFO, "listening", url=url, indexes=index_count, data_dir=server.data_dir)
    if options.tls is not None and options.tls.ca is not None:
        print(trust_help(options.tls.ca), file=sys.stderr)
