"""Servers as child processes, and the CPU time of process trees."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0
IDLE_CPU_SHARE: Final = 0.03
IDLE_SECONDS: Final = 1.0


class Server:
    """A server in a process of its own, its output in a file.

    Args:
        command: program and arguments.
        log: file for what it prints.
        environment: variables beside this process's own.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, environment: dict[str, str] | None = None) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait for the first True; a refused connection means not yet.

        Raises:
            RuntimeError: it ended, or took longer than START_TIMEOUT_S. The message has the end of its output.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if is_ready():
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the server did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds of processes and all their children, also of those that ended and were waited for."""
    return sum(_cpu_s(process) for process in _trees(pids))


def private_bytes(pids: Sequence[int]) -> int:
    """Memory of processes and their children beside the page cache: mapped files do not count on Linux.

    Memory that they share with one another counts once, as far as that can be told.
    """
    private = shared = 0
    for process in _trees(pids):
        status = Path(f"/proc/{process.pid}/status")
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if status.exists():
                kib = dict(re.findall(r"^(RssAnon|RssShmem):\s+(\d+) kB$", status.read_text(), re.MULTILINE))
                private += 1024 * int(kib.get("RssAnon", 0))
                shared = max(shared, 1024 * int(kib.get("RssShmem", 0)))
            else:
                private += process.memory_info().rss
    return private + shared


def _trees(pids: Sequence[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                found[process.pid] = process
    return list(found.values())


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)


def wait_until_idle(pids: Sequence[int]) -> None:
    """Wait until processes do next to nothing: for servers that index in the background and do not say when."""
    before_s = cpu_s(pids)
    while True:
        time.sleep(IDLE_SECONDS)
        after_s = cpu_s(pids)
        if after_s - before_s < IDLE_CPU_SHARE * IDLE_SECONDS:
            return
        before_s = after_s
