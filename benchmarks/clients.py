"""Clients of the benchmarks: they send bodies that were encoded before, so that their own work counts little."""

import http.client
import queue
import threading
import time
from collections.abc import Sequence
from typing import Final

import grpc

IN_FLIGHT: Final = 4
_KEY: Final = "benchmark"


def send_rest(host: str, path: str, bodies: Sequence[bytes], in_flight: int = IN_FLIGHT) -> float:
    """POST every body, `in_flight` at a time over as many connections. Returns seconds."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    failures: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(host)
        while True:
            try:
                body = waiting.get_nowait()
            except queue.Empty:
                connection.close()
                return
            connection.request("POST", path, body, {"Api-Key": _KEY, "Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status not in (200, 201):
                failures.append(f"{response.status} {answer[:200]!r}")

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    assert not failures, failures[0]
    return elapsed


def send_grpc(host: str, method: str, messages: Sequence[bytes], in_flight: int = IN_FLIGHT) -> float:
    """Call a method with every message, `in_flight` at a time over one connection. Returns seconds."""
    room = threading.Semaphore(in_flight)
    with grpc.insecure_channel(host, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(f"/VectorService/{method}")
        grpc.channel_ready_future(channel).result(10)
        started = time.perf_counter()
        futures = []
        for message in messages:
            room.acquire()
            future = call.future(message, metadata=(("api-key", _KEY),))
            future.add_done_callback(lambda _: room.release())
            futures.append(future)
        for future in futures:
            future.result()
        return time.perf_counter() - started
