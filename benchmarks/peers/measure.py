"""The timed loops: inserting all records, and asking all queries. They run in the worker of one competitor."""

import itertools
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.peers import processes
from benchmarks.peers.protocol import Batch, Peer
from benchmarks.peers.workload import TOP_K, FilterKind, Workload

RECORDS_PER_BATCH: Final = 500
SECONDS_MIN: Final = 1.0
"""For one point of a curve: queries are asked again until then. Systems count CPU time in steps of 10 ms."""


def insert_all(peer: Peer, workload: Workload, folder: Path) -> dict[str, float]:
    """Insert every record, then wait for the index.

    A server's requests are written to a file first: its clients would be other machines, and a million of them do not
    fit in memory.
    """
    peer.create(workload.schema)
    with tempfile.TemporaryFile(dir=folder) as spool:
        lengths: list[int] = []
        batches: list[bytes | Batch] = []
        for batch in workload.batches(RECORDS_PER_BATCH):
            encoded = peer.encode_insert(batch)
            if isinstance(encoded, bytes):
                spool.write(encoded)
                lengths.append(len(encoded))
            else:
                batches.append(encoded)
        spool.seek(0)
        requests = itertools.chain(batches, (spool.read(length) for length in lengths))
        started_s, started_cpu_s = time.perf_counter(), _cpu_s(peer)
        slowest_s = _run(peer.insert, requests, peer.insert_clients)
        acknowledged_s = time.perf_counter() - started_s
        acknowledged_cpu_s = _cpu_s(peer) - started_cpu_s
        peer.wait_until_indexed()
        indexed_s, indexed_cpu_s = time.perf_counter() - started_s, _cpu_s(peer) - started_cpu_s
    count = len(workload.vectors)
    return {
        "records_per_s_acknowledged": count / acknowledged_s,
        "records_per_s_indexed": count / indexed_s,
        "cpu_ms_per_record_acknowledged": 1e3 * acknowledged_cpu_s / count,
        "cpu_ms_per_record_indexed": 1e3 * indexed_cpu_s / count,
        "slowest_batch_ms": 1e3 * slowest_s,
        "private_mib": processes.private_bytes(peer.server_pids() or [os.getpid()]) / 2**20,
    }


def ask(
    peer: Peer, workload: Workload, effort: float | None, clients: int, kind: FilterKind | None, seconds_max: float
) -> dict[str, float]:
    """Ask every query at least once, or as many as fit in `seconds_max`."""
    sessions = [peer.session(effort) for _ in range(clients)]
    requests = [
        sessions[0].encode(query, TOP_K, where)
        for query, where in zip(workload.queries, workload.wheres(kind), strict=True)
    ]
    for session in sessions:
        session.query(requests[0])
    numbers = itertools.count()
    answers: dict[int, Any] = {}
    latencies: list[float] = []
    failures: list[Exception] = []
    all_before_s, own_before_s, before_s = _machine_cpu_s(), _worker_cpu_s(peer), _cpu_s(peer)
    begun_s = time.perf_counter()

    def work(client: int) -> None:
        session = sessions[client]
        try:
            for number in numbers:  # One iterator for all threads; its step is one call in C.
                started_s = time.perf_counter()
                if started_s > begun_s + (SECONDS_MIN if number >= len(requests) else seconds_max):
                    return
                answer = session.query(requests[number % len(requests)])
                latencies.append(time.perf_counter() - started_s)
                answers.setdefault(number % len(requests), answer)
        except Exception as error:  # noqa: BLE001 - whatever a client library raises ends the run, in the main thread.
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - begun_s
    cpu_s, own_s = _cpu_s(peer) - before_s, _worker_cpu_s(peer) - own_before_s
    others_s = _machine_cpu_s() - all_before_s - cpu_s - own_s
    if failures:
        raise failures[0]
    found = {number: sessions[0].rows(answer) for number, answer in answers.items()}
    for session in sessions:
        session.close()
    latencies.sort()
    recalls = workload.recalls(found, kind)
    return {
        "queries": len(latencies),
        "recall": sum(recalls) / len(recalls) if recalls else 1.0,
        "queries_per_s": len(latencies) / elapsed_s,
        "cpu_ms_per_query": 1e3 * cpu_s / len(latencies),
        "latency_ms_p50": 1e3 * _quantile(latencies, 0.5),
        "latency_ms_p99": 1e3 * _quantile(latencies, 0.99),
        # How much of the machine worked for somebody else: a run with more than a few percent tells little about time.
        "others_cpu_share": max(0.0, others_s) / (elapsed_s * (os.cpu_count() or 1)),
    }


def _run(insert: Callable[[bytes | Batch], None], requests: Iterator[bytes | Batch], clients: int) -> float:
    """Insert everything, `clients` at a time. Returns the seconds of the slowest insert."""
    lock = threading.Lock()
    slowest_s = [0.0] * clients
    failures: list[Exception] = []

    def work(client: int) -> None:
        try:
            while not failures:
                with lock:
                    request = next(requests, None)
                if request is None:
                    return
                started_s = time.perf_counter()
                insert(request)
                slowest_s[client] = max(slowest_s[client], time.perf_counter() - started_s)
        except Exception as error:  # noqa: BLE001 - as in `ask`.
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return max(slowest_s)


def _cpu_s(peer: Peer) -> float:
    """CPU seconds of the server; of this process where the competitor is a library."""
    pids = peer.server_pids()
    return processes.cpu_s(pids) if pids else time.process_time()


def _worker_cpu_s(peer: Peer) -> float:
    """CPU seconds of the clients, where they are not in the server's process."""
    return time.process_time() if peer.server_pids() else 0.0


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts guests' time within `user` too.
    return float(sum(times) - idle_s - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, math.ceil(share * len(ascending)) - 1)]
