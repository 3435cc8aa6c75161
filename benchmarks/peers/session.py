"""One session: all competitors at once, measured in turn, so that a slow minute of the machine hits all of them."""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks.peers.environments import PEERS, ROOT, ensure_environment, peer_names
from benchmarks.peers.worker import Config, default_variant, read_config
from benchmarks.peers.workload import FilterKind


class Plan(NamedTuple):
    """How much is measured."""

    rounds: int
    """Of queries: every competitor is asked once in each."""

    insert_rounds: int
    """Of inserting everything into an empty competitor."""

    clients: tuple[int, ...]
    target_recall: float
    """Filters are measured with the least effort that reaches it without a filter."""

    seconds_max: float
    """For one point of a curve; slow ones answer fewer queries."""


class WorkerError(Exception):
    """A competitor failed. The message is its own."""


class Worker:
    """The process that runs one variant of one competitor."""

    def __init__(self, name: str, variant: str, work: Path) -> None:
        interpreter = ensure_environment(name, PEERS / name / "requirements.txt")
        self.log = work / f"{name}-{variant}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [interpreter, "-m", "benchmarks.peers.worker", name, variant, work],
                cwd=ROOT,
                # One thread for each matrix product, of all competitors.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def do(self, command: str, **arguments: Any) -> Any:
        """Have a command done, and return what it gives.

        Raises:
            WorkerError: it failed; the worker has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the worker ended"}')
        if "error" in answer:
            raise WorkerError(f"{answer['error']} (more in {self.log})")
        return answer["ok"]

    def stop(self) -> None:
        """End it and whatever it started. Returns once they are gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@dataclass
class Contestant:
    """One variant of one competitor, and what was measured of it."""

    name: str
    variant: str
    config: Config
    versions: dict[str, str] = field(default_factory=dict)
    inserts: list[dict[str, float]] = field(default_factory=list)
    points: dict[tuple[float | None, int, FilterKind | None], list[dict[str, float]]] = field(default_factory=dict)
    failure: str | None = None
    worker: Worker | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`name` or `name:variant`.

        Raises:
            KeyError: there is no such one.
        """
        name, _, variant = text.partition(":")
        if name not in peer_names():
            raise KeyError(f"no competitor {name!r}, but {', '.join(peer_names())}")
        variant = variant or default_variant(name)
        return cls(name, variant, read_config(name, variant))

    @property
    def label(self) -> str:
        return f"{self.name}:{self.variant}"

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Keep a failure beside the results; the others go on."""
        try:
            yield
        except (WorkerError, subprocess.CalledProcessError) as error:
            self.failure = str(error)
            print(f"{self.label}: {error}", flush=True)
            self.stop()

    def insert(self, work: Path) -> None:
        """Start it anew, empty, and insert everything."""
        self.stop()
        shutil.rmtree(work / f"{self.name}-{self.variant}", ignore_errors=True)
        self.worker = Worker(self.name, self.variant, work)
        self.versions = self.worker.do("versions")
        self.inserts.append(self.worker.do("insert"))
        print(_line(self.label, "insert", self.inserts[-1]), flush=True)

    def ask(self, effort: float | None, clients: int, kind: FilterKind | None, seconds_max: float) -> None:
        """Measure one point of a curve."""
        assert self.worker is not None
        measured = self.worker.do("ask", effort=effort, clients=clients, filter=kind, seconds_max=seconds_max)
        self.points.setdefault((effort, clients, kind), []).append(measured)
        what = f"effort={effort} clients={clients}" + (f" filter={kind.name}" if kind else "")
        print(_line(self.label, what, measured), flush=True)

    def effort_for(self, target_recall: float) -> float | None:
        """The least effort that reached a recall, or else the most."""
        for effort in self.config.efforts:
            recalls = [
                measured["recall"]
                for (each, _, kind), rounds in self.points.items()
                if each == effort and kind is None
                for measured in rounds
            ]
            if recalls and statistics.median(recalls) >= target_recall:
                return effort
        return self.config.efforts[-1]

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def results(self) -> dict[str, Any]:
        """Medians over the rounds."""
        return {
            "versions": self.versions,
            "options": self.config.options,
            "failure": self.failure,
            "insert": _medians(self.inserts),
            "curve": [
                {"effort": effort, "clients": clients} | _medians(rounds)
                for (effort, clients, kind), rounds in self.points.items()
                if kind is None
            ],
            "filters": [
                {"filter": kind.kind, "selectivity_percent": 100 / kind.values, "effort": effort, "clients": clients}
                | _medians(rounds)
                for (effort, clients, kind), rounds in self.points.items()
                if kind is not None
            ],
        }


def run(contestants: Sequence[Contestant], filters: Sequence[FilterKind], plan: Plan, work: Path) -> None:
    """Measure all, in turn. What they measured is then in them."""
    try:
        for _ in range(plan.insert_rounds):
            for each in contestants:
                if each.failure is None:
                    with each.attempt():
                        each.insert(work)
        for number in range(plan.rounds):
            print(f"round {number + 1} of {plan.rounds}", flush=True)
            for each in contestants:
                if each.failure is None:
                    with each.attempt():
                        _one_round(each, filters, plan)
    finally:
        for each in contestants:
            each.stop()


def _one_round(each: Contestant, filters: Sequence[FilterKind], plan: Plan) -> None:
    for effort in each.config.efforts:
        for clients in plan.clients:
            each.ask(effort, clients, None, plan.seconds_max)
    # Chosen in the first round and kept, so that all rounds measure the same.
    effort = next((effort for effort, _, kind in each.points if kind), each.effort_for(plan.target_recall))
    for kind in filters if each.config.filters else ():
        each.ask(effort, plan.clients[0], kind, plan.seconds_max)


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]} if rounds else {}


def _line(label: str, what: str, measured: dict[str, float]) -> str:
    return f"{label:20} {what:32} " + "  ".join(f"{name}={value:.4g}" for name, value in measured.items())
