"""One competitor in a process and an environment of its own: `python -m benchmarks.peers.worker NAME VARIANT FOLDER`.

Takes a command a line from standard input, and answers each with a line: `{"ok": ...}` or `{"error": ...}`.
"""

import importlib
import json
import os
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers import measure
from benchmarks.peers.environments import PEERS
from benchmarks.peers.protocol import OpenPeer, Peer
from benchmarks.peers.workload import FilterKind, Workload


class Config(NamedTuple):
    """What a competitor's `config.toml` says of one variant."""

    efforts: list[float | None]
    """From the least; [None] where there is nothing to choose."""

    filters: bool
    """Whether it has any."""

    options: dict[str, Any]


def read_config(name: str, variant: str) -> Config:
    """The settings of one variant.

    Raises:
        KeyError: there is no such variant.
    """
    variants = tomllib.loads((PEERS / name / "config.toml").read_text())
    if variant not in variants:
        raise KeyError(f"{name} has no variant {variant!r}, but {', '.join(variants)}")
    options = dict(variants[variant])
    return Config(options.pop("efforts", None) or [None], options.pop("filters", True), options)


def default_variant(name: str) -> str:
    """The first one of the file."""
    return next(iter(tomllib.loads((PEERS / name / "config.toml").read_text())))


def main() -> None:
    name, variant, work = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    # Whatever a library prints belongs to the log, not among the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer: Peer | None = None
    folder = work / f"{name}-{variant}"
    folder.mkdir()
    try:
        open_peer: OpenPeer = importlib.import_module(f"benchmarks.peers.{name}.module").open_peer
        peer = open_peer(folder, read_config(name, variant).options)
        workload = Workload(work / "workload")
        for line in sys.stdin:
            print(json.dumps({"ok": _answer(peer, workload, folder, json.loads(line))}), file=answers)
    except Exception as error:  # noqa: BLE001 - it is the session's to tell, and others go on without this one.
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}), file=answers)
    finally:
        if peer is not None:
            peer.stop()


def _answer(peer: Peer, workload: Workload, folder: Path, command: dict[str, Any]) -> Any:
    match command.pop("do"):
        case "versions":
            return peer.versions()
        case "insert":
            return measure.insert_all(peer, workload, folder)
        case "ask":
            kind = FilterKind(*command.pop("filter")) if command.get("filter") else None
            command.pop("filter", None)
            return measure.ask(peer, workload, kind=kind, **command)
        case other:
            raise ValueError(f"unknown command {other!r}")


if __name__ == "__main__":
    main()
