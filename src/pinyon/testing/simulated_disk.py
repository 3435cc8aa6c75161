"""A disk that forgets what was not synced, stops at a chosen operation, fills up, and fails to sync.

A file and a folder each keep every state that they had since their last sync: the first is on the platter, the last is
what the running machine sees. A power cut picks, from a seed, what is found afterwards. What it may pick:

- of a file: any size between the smallest and the largest since the last sync, and for each sector of 512 bytes any of
  the states, or zeros; never anything else below the smallest size, since writers only append and truncate;
- of a folder: for each name any of the states, so a created, removed or renamed file is there or not, each for itself.

A failed sync is modelled after Linux: the cache forgets that the bytes were to be written, so later syncs succeed
without writing them.

To stop a program at each of its operations:

    for stop in itertools.count(1):
        disk = SimulatedDisk()
        disk.crash_after(stop)
        try:
            program(disk)
        except CrashError:
            check(disk.after_power_cut(seed=0))
        else:
            break

The disk copies a file at each write: it is for small ones.
"""

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from posixpath import basename, dirname
from typing import Final, Literal, TypeAlias

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.protocol import BytesLike

SECTOR_BYTES: Final = 512

Operation: TypeAlias = Literal[
    "append", "create", "make_directory", "remove", "rename", "sync", "sync_directory", "truncate"
]
"""What counts as an operation of the disk. Reading does not: stopping there changes nothing."""


class CrashError(BaseException):
    """The machine stopped. Not an Exception, so that no handler of the program under test swallows it."""


class _FileNode:
    """The states of a file since its last sync, oldest first. `dropped` are bytes that no later sync will write."""

    def __init__(self, content: bytes = b"") -> None:
        self.states = [content]
        self.dropped = range(0)

    @property
    def content(self) -> bytes:
        return self.states[-1]

    def append(self, data: bytes) -> None:
        self.states.append(self.content + data)

    def truncate(self, size: int) -> None:
        self.states.append(self.content[:size])
        self.dropped = range(self.dropped.start, min(self.dropped.stop, size))

    def sync(self) -> None:
        hole = bytes(len(self.dropped))
        on_platter = self.content[: self.dropped.start] + hole + self.content[self.dropped.start + len(hole) :]
        self.states = [on_platter, self.content] if hole else [self.content]

    def fail_sync(self) -> None:
        self.dropped = range(self._stable_bytes(), len(self.content))

    def after_power_cut(self, rng: random.Random) -> "_FileNode":
        outcome = rng.choice((self._oldest, self._newest, self._newest_cut_short, self._torn, self._torn))
        return _FileNode(outcome(rng))

    def _stable_bytes(self) -> int:
        return min(len(state) for state in self.states)

    def _oldest(self, _: random.Random) -> bytes:
        return self.states[0]

    def _newest(self, _: random.Random) -> bytes:
        return self.content

    def _newest_cut_short(self, rng: random.Random) -> bytes:
        return self.content[: rng.randint(self._stable_bytes(), len(self.content))]

    def _torn(self, rng: random.Random) -> bytes:
        stable, largest = self._stable_bytes(), max(len(state) for state in self.states)
        size = rng.choice((largest, rng.randint(stable, largest)))
        found = bytearray(size)
        for start in range(0, size, SECTOR_BYTES):
            sector = slice(start, min(start + SECTOR_BYTES, size))
            piece = rng.choice((*self.states, b""))[sector]
            found[start : start + len(piece)] = piece
        found[:stable] = self.content[:stable]
        return bytes(found)


class _FolderNode:
    """The states of a folder since its last sync, oldest first: what each name stands for."""

    def __init__(self, names: "dict[str, _Node] | None" = None) -> None:
        self.states: list[dict[str, _Node]] = [names or {}]

    @property
    def names(self) -> "dict[str, _Node]":
        return self.states[-1]

    def bind(self, name: str, node: "_Node") -> None:
        self.states.append({**self.names, name: node})

    def unbind(self, name: str) -> None:
        self.states.append({other: node for other, node in self.names.items() if other != name})

    def rename(self, source: str, target: str) -> None:
        others = {name: node for name, node in self.names.items() if name != source}
        self.states.append({**others, target: self.names[source]})

    def sync(self) -> None:
        self.states = [self.names]

    def after_power_cut(self, rng: random.Random) -> "_FolderNode":
        found: dict[str, _Node] = {}
        for name in sorted(set().union(*self.states)):
            node = rng.choice(self.states).get(name)
            if node is not None:
                found[name] = node.after_power_cut(rng)
        return _FolderNode(found)


_Node: TypeAlias = _FileNode | _FolderNode


class SimulatedDisk:
    """A storage in memory that can be stopped, filled, failed, and found again after a power cut.

    Attributes:
        operation_count: operations so far, those that failed or crashed included.
        sync_count: syncs of files so far.
        free_bytes: how much more can be appended before the disk is full; None is without end.
    """

    def __init__(self) -> None:
        """Start with an empty disk that never fails."""
        self.operation_count = 0
        self.sync_count = 0
        self.free_bytes: int | None = None
        self._root = _FolderNode()
        self._crash_at: int | None = None
        self._failing: list[Operation] = []

    # What may go wrong.

    def crash_after(self, operations: int) -> None:
        """Stop the machine in the given operation from now, the first being 1.

        That operation, and each one after it, raises CrashError. It may have had its effect or not: `after_power_cut`
        picks either. A sync that was stopped has made nothing durable for certain.
        """
        self._crash_at = self.operation_count + operations

    def fail_next(self, *operations: Operation) -> None:
        """Let the next operation of each given kind fail once. Give a kind twice to let it fail twice."""
        self._failing += operations

    def after_power_cut(self, seed: int) -> "SimulatedDisk":
        """The disk as the machine finds it when it is switched on again. This one stays as it is."""
        disk = SimulatedDisk()
        disk._root = self._root.after_power_cut(random.Random(seed))
        return disk

    def after_kill(self) -> "SimulatedDisk":
        """The disk as the next process finds it when only the process died: all is there, yet no more durable."""
        disk = SimulatedDisk()
        disk._root = copy.deepcopy(self._root)
        return disk

    # The storage protocol.

    def make_directory(self, path: str) -> None:
        """Create a folder; fine if it is there. Its parent must exist."""
        parent = self._parent(path)
        if isinstance(parent.names.get(basename(path)), _FolderNode):
            return
        self._run("make_directory", path, lambda: self._bind_unused(path, _FolderNode()))

    def list_directory(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""
        node = self._find(path)
        return sorted(node.names) if isinstance(node, _FolderNode) else []

    def create(self, path: str) -> "SimulatedFile":
        """Create a file that must not exist yet, open for appending."""
        node = _FileNode()
        self._run("create", path, lambda: self._bind_unused(path, node))
        return SimulatedFile(self, path, node)

    def open_append(self, path: str) -> "SimulatedFile":
        """Open an existing file for appending.

        Raises:
            NotFoundError: there is no such file.
        """
        return SimulatedFile(self, path, self._file(path))

    def read(self, path: str) -> memoryview:
        """All bytes of a file, read-only.

        Raises:
            NotFoundError: there is no such file.
        """
        return memoryview(self._file(path).content)

    def replace(self, path: str, content: bytes) -> None:
        """Write aside, sync, rename, sync the folder: each step is an operation that may be the last."""
        aside = path + ".tmp"
        self.remove(aside)
        file = self.create(aside)
        file.append([content])
        file.sync()
        self._run("rename", path, lambda: self._parent(path).rename(basename(aside), basename(path)))
        self.sync_directory(dirname(path))

    def remove(self, path: str) -> None:
        """Remove a file; fine if it is gone."""
        if isinstance(self._find(path), _FileNode):
            self._run("remove", path, lambda: self._parent(path).unbind(basename(path)))

    def remove_tree(self, path: str) -> None:
        """Remove a folder and all that is in it, one name an operation; fine if it is gone."""
        node = self._find(path)
        if not isinstance(node, _FolderNode):
            return
        for name, child in sorted(node.names.items()):
            remove = self.remove_tree if isinstance(child, _FolderNode) else self.remove
            remove(f"{path}/{name}")
        self._run("remove", path, lambda: self._parent(path).unbind(basename(path)))

    def sync_directory(self, path: str) -> None:
        """Make the names in a folder durable."""
        folder = self._folder(path, wanted_for=path)
        self._run("sync_directory", path, folder.sync, durable=True)

    # What files and folders share.

    def _run(self, operation: Operation, path: str, effect: Callable[[], None], *, durable: bool = False) -> None:
        """Count an operation and let it happen, fail or be the last.

        One that is the last still has its effect on what the machine saw, so that a power cut may keep it, unless the
        effect is that something is durable.
        """
        self.operation_count += 1
        crashing = self._crash_at is not None and self.operation_count >= self._crash_at
        if crashing and self.operation_count != self._crash_at:
            raise CrashError(f"the machine is off: {operation} {path}")
        if not crashing and operation in self._failing:
            self._failing.remove(operation)
            raise UnavailableError(f"{path}: Input/output error")
        if not (crashing and durable):
            effect()
        if crashing:
            raise CrashError(f"the machine stopped in operation {self.operation_count}: {operation} {path}")

    def _bind_unused(self, path: str, node: _Node) -> None:
        if basename(path) in self._parent(path).names:
            raise UnavailableError(f"{path}: File exists")
        self._parent(path).bind(basename(path), node)

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._root
        for name in _parts(path):
            node = node.names.get(name) if isinstance(node, _FolderNode) else None
        return node

    def _file(self, path: str) -> _FileNode:
        node = self._find(path)
        if not isinstance(node, _FileNode):
            raise NotFoundError(f"{path}: no such file")
        return node

    def _parent(self, path: str) -> _FolderNode:
        return self._folder(dirname(path), wanted_for=path)

    def _folder(self, path: str, *, wanted_for: str) -> _FolderNode:
        node = self._find(path)
        if not isinstance(node, _FolderNode):
            raise UnavailableError(f"{wanted_for}: No such file or directory")
        return node


class SimulatedFile:
    """A file of a SimulatedDisk, open for appending."""

    def __init__(self, disk: SimulatedDisk, path: str, node: _FileNode) -> None:
        """Open `node`; only the disk does this."""
        self._disk = disk
        self._path = path
        self._node = node

    @property
    def size(self) -> int:
        """Bytes written so far, durable or not."""
        return len(self._node.content)

    def append(self, parts: Sequence[BytesLike]) -> None:
        """Write the parts one after another at the end, as one operation; as much as fits when the disk is full."""
        data = b"".join(parts)
        self._disk._run("append", self._path, lambda: self._append(data))

    def sync(self) -> None:
        """Make all that was written durable."""
        self._disk.sync_count += 1
        try:
            self._disk._run("sync", self._path, self._node.sync, durable=True)
        except UnavailableError:
            self._node.fail_sync()
            raise

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes. Durable after the next `sync`."""
        self._disk._run("truncate", self._path, lambda: self._truncate(size))

    def close(self) -> None:
        """Do nothing."""

    def _append(self, data: bytes) -> None:
        written = data[: self._disk.free_bytes]
        if self._disk.free_bytes is not None:
            self._disk.free_bytes -= len(written)
        self._node.append(written)
        if len(written) < len(data):
            raise UnavailableError(f"{self._path}: no space left on device")

    def _truncate(self, size: int) -> None:
        if self._disk.free_bytes is not None:
            self._disk.free_bytes += self.size - size
        self._node.truncate(size)


def _parts(path: str) -> Iterable[str]:
    return path.split("/") if path else ()
