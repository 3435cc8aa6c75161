"""Checking a data directory: every checksum, every invariant that files can tell of. Reads only.

What must hold:

- nothing is repaired, removed or created: what only opening would put right is a note;
- one problem does not hide another: after each, what does not depend on it is checked all the same;
- each problem names a file or folder.

The directory must not be in use: what a server is just writing looks like what a stop left.

What cannot be found: see `docs/format/v1.md`, "Recovery" of the log. Damage to the last write of the log looks like a
write that a stop cut short, and is a note too.
"""

from collections.abc import Iterator

from pinyon.engine.catalog import CATALOG_PATH, Catalog
from pinyon.engine.data_directory import INDEXES, LOG, ROOT_NAMES, choose_index, index_directory
from pinyon.engine.findings import Finding, Kind, note, ok, problem
from pinyon.engine.log_verification import verify_log
from pinyon.engine.segment_verification import verify_segment_files
from pinyon.errors import PinyonError
from pinyon.model.index import IndexDefinition
from pinyon.segment.manifest import MANIFEST_NAME, SEGMENTS_NAME, Manifest, read_manifest
from pinyon.storage.protocol import Storage

_NO_MANIFEST = Manifest(0, 1)


def verify(storage: Storage, name: str | None = None) -> Iterator[Finding]:
    """Check a data directory, finding by finding.

    Args:
        storage: the data directory, locked by the caller.
        name: of the only index to check, beside the catalog; None for all.

    Raises:
        NotFoundError: there is no index of that name.
        UnavailableError: the disk failed.
    """
    definitions, findings = _read_catalog(storage)
    yield from findings
    if definitions is None:
        if name is None:
            for folder in storage.list_directory(INDEXES):
                yield from _verify_index(storage, index_directory(folder), None)
        return
    chosen = choose_index(definitions, name)
    if name is None:
        yield from _unexpected(storage, "", ROOT_NAMES)
        yield from _unexpected(storage, INDEXES, {definition.index_id for definition in definitions})
    for definition in chosen:
        yield from _verify_index(storage, index_directory(definition.index_id), definition)


def _read_catalog(storage: Storage) -> tuple[list[IndexDefinition] | None, list[Finding]]:
    """The definitions, None where they are unknown, and what is to be said of them."""
    try:
        definitions = Catalog(storage).definitions()
    except PinyonError as error:
        return None, [problem(CATALOG_PATH, error.message)]
    if CATALOG_PATH not in storage.list_directory(""):
        for folder in storage.list_directory(INDEXES):
            if storage.list_directory(f"{index_directory(folder)}/{LOG}"):
                return None, [problem(CATALOG_PATH, f"it is missing, but {index_directory(folder)} holds records")]
        return [], [note(CATALOG_PATH, "there is none yet, and no records either")]
    findings = [problem(CATALOG_PATH, what) for what in _contradictions(definitions)]
    return definitions, findings or [ok(CATALOG_PATH, f"{len(definitions)} indexes")]


def _contradictions(definitions: list[IndexDefinition]) -> Iterator[str]:
    ids, ports = set(), set()
    for definition in definitions:
        if definition.index_id in ids:
            yield f"two indexes have the id {definition.index_id}"
        if definition.port in ports:
            yield f"two indexes have the port {definition.port}"
        ids.add(definition.index_id)
        ports |= {definition.port} - {0}


def _verify_index(storage: Storage, directory: str, definition: IndexDefinition | None) -> Iterator[Finding]:
    """Check the folder of an index; without a definition, what can be checked without it."""
    found_all = True
    for finding in _verify_parts(storage, directory, definition):
        found_all &= finding.kind is not Kind.PROBLEM
        yield finding
    if found_all and definition is not None:
        yield ok(directory, f"all of index {definition.name}")


def _verify_parts(storage: Storage, directory: str, definition: IndexDefinition | None) -> Iterator[Finding]:
    path = f"{directory}/{MANIFEST_NAME}"
    manifest: Manifest | None = None
    try:
        found = read_manifest(storage, directory)
        manifest = found or _NO_MANIFEST
        if found is not None:
            yield ok(path, f"LSN {found.lsn}, {len(found.segments)} segments")
    except PinyonError as error:
        yield problem(path, error.message)
    yield from _unexpected(storage, directory, {LOG, SEGMENTS_NAME, MANIFEST_NAME})
    yield from verify_log(storage, f"{directory}/{LOG}", definition, manifest)
    yield from verify_segment_files(storage, directory, definition, manifest)


def _unexpected(storage: Storage, folder: str, expected: set[str] | frozenset[str]) -> Iterator[Finding]:
    """Names that have no business in a folder."""
    for name in storage.list_directory(folder):
        if name not in expected:
            path = f"{folder}/{name}".lstrip("/")
            yield note(path, "left over, or not Pinyon's; no records depend on it")
