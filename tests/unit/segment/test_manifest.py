"""The manifest is kept durably, says so when its file is damaged, and knows which files it needs."""

import itertools

import msgspec
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import DataLossError, FailedPreconditionError, PinyonError, UnavailableError
from pinyon.segment.manifest import (
    Manifest,
    NamespaceEntry,
    SegmentEntry,
    dead_rows_name,
    files_of,
    graph_name,
    leftovers,
    read_manifest,
    replace_manifest,
    segment_name,
    segments_directory,
)
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.simulated_disk import CrashError, SimulatedDisk

PATH = "index/manifest.json"
MANIFEST = Manifest(
    lsn=70,
    next_number=12,
    segments=(
        SegmentEntry(number=3, row_count=1000, size_bytes=2**40, dead_lsn=70, dead_count=1000, has_graph=True),
        SegmentEntry(number=11, row_count=1, size_bytes=4096),
    ),
    namespaces=(
        NamespaceEntry("böðy", declared=True, filterable_fields=("genre", "year")),
        NamespaceEntry("nothing filterable", declared=True, filterable_fields=()),
        NamespaceEntry("remembered"),
    ),
)
CONTENT = (
    '{"lsn":70,"next_number":12,"segments":[{"number":3,"row_count":1000,"size_bytes":1099511627776,"dead_lsn":70,'
    '"dead_count":1000,"has_graph":true},{"number":11,"row_count":1,"size_bytes":4096}],"namespaces":[{"name":"böðy",'
    '"declared":true,"filterable_fields":["genre","year"]},{"name":"nothing filterable","declared":true,'
    '"filterable_fields":[]},{"name":"remembered"}]}'
).encode()
SEGMENT = SegmentEntry(number=0, row_count=5, size_bytes=1)


def test_a_manifest_survives_a_restart() -> None:
    storage = _storage()
    assert read_manifest(storage, "index") is None
    for manifest in (MANIFEST, Manifest(lsn=0, next_number=0)):
        replace_manifest(storage, "index", manifest)
        assert read_manifest(storage, "index") == manifest


def test_the_bytes_are_those_of_the_format() -> None:
    storage = _storage()
    replace_manifest(storage, "index", MANIFEST)
    assert bytes(storage.read(PATH)) == _framed(CONTENT)


def test_a_flip_of_any_bit_is_noticed() -> None:
    whole = _framed(CONTENT)
    for offset, bit in itertools.product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << bit
        with pytest.raises((DataLossError, FailedPreconditionError), match=PATH):
            read_manifest(_storage(bytes(damaged)), "index")


def test_a_file_that_is_cut_is_data_loss() -> None:
    whole = _framed(CONTENT)
    for size in range(len(whole)):
        with pytest.raises(DataLossError, match=rf"{PATH} cannot be used: .*; restore it from a backup"):
            read_manifest(_storage(whole[:size]), "index")


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_as_a_file_are_our_error(content: bytes) -> None:
    for whole in (content, _framed(content)):
        with pytest.raises(PinyonError, match=PATH):
            read_manifest(_storage(whole), "index")


def test_a_newer_format_is_refused_with_advice_and_an_older_one_never_was() -> None:
    newer = b'{"format_version":2,"segments":"elsewhere"}'
    with pytest.raises(
        FailedPreconditionError, match=rf"{PATH} has manifest format 2; this Pinyon reads format 1: open"
    ):
        read_manifest(_storage(newer), "index")
    with pytest.raises(DataLossError, match=PATH):
        read_manifest(_storage(_framed(CONTENT).replace(b'"format_version":1', b'"format_version":0')), "index")


def test_a_field_that_is_not_known_is_not_passed_over() -> None:
    for place in (b'"lsn":70', b'"number":11', b'"name":"remembered"'):
        with pytest.raises(DataLossError, match=r"unknown field `later`"):
            read_manifest(_storage(_framed(CONTENT.replace(place, place + b',"later":1'))), "index")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Manifest(1, 1, segments=(SEGMENT, SEGMENT)), "the segment 0 is in it twice"),
        (Manifest(1, 0, namespaces=(NamespaceEntry("a"), NamespaceEntry("a"))), "the namespace a is in it twice"),
        (Manifest(1, 0, segments=(SEGMENT,)), "the segment 0 is not below the next number 0"),
        (
            Manifest(1, 1, (msgspec.structs.replace(SEGMENT, dead_lsn=2),)),
            "dead rows of segment 0 are of LSN 2, after 1",
        ),
        (Manifest(1, 1, (msgspec.structs.replace(SEGMENT, dead_count=1),)), "the segment 0 has 1 dead rows of 5"),
        (
            Manifest(1, 1, (msgspec.structs.replace(SEGMENT, dead_lsn=1, dead_count=6),)),
            "the segment 0 has 6 dead rows of 5",
        ),
        (Manifest(-1, 0), "Expected `int` >= 0"),
        (Manifest(1, 1, (msgspec.structs.replace(SEGMENT, row_count=0),)), "Expected `int` >= 1"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_though_its_checksum_is_right(
    broken: Manifest, reason: str
) -> None:
    with pytest.raises(DataLossError, match=reason):
        read_manifest(_storage(_framed(msgspec.json.encode(broken))), "index")


def test_a_manifest_that_contradicts_itself_is_not_written() -> None:
    storage = _storage()
    with pytest.raises(AssertionError, match="not below the next number"):
        replace_manifest(storage, "index", Manifest(1, 0, segments=(SEGMENT,)))
    assert storage.list_directory("index") == []


def test_the_files_of_a_manifest_are_those_that_its_segments_have() -> None:
    assert files_of(None) == set()
    assert files_of(MANIFEST) == {
        "00000000000000000003.seg",
        "00000000000000000003.00000000000000000070.dead",
        "00000000000000000003.graph",
        "00000000000000000011.seg",
    }


def test_leftovers_are_files_of_segments_that_the_manifest_does_not_need() -> None:
    left = [
        segment_name(2),
        dead_rows_name(3, 69),
        graph_name(11),
        segment_name(11) + ".tmp",
        dead_rows_name(11, 70),
        segment_name(12),
    ]
    storage = _with_segment_files(*files_of(MANIFEST), *left, "notes.txt", "3.seg", "00000000000000000003.70.dead")
    assert sorted(leftovers(storage, "index", MANIFEST)) == sorted(f"index/segments/{name}" for name in left)
    everything = sorted(f"index/segments/{name}" for name in {*files_of(MANIFEST), *left})
    assert sorted(leftovers(storage, "index", None)) == everything


def test_an_index_without_segments_needs_no_folder() -> None:
    assert leftovers(_storage(), "index", None) == leftovers(_storage(), "index", Manifest(5, 5)) == []


GRAPHS = {name for name in files_of(MANIFEST) if name.endswith(".graph")}


def test_a_missing_graph_is_no_loss() -> None:
    assert GRAPHS
    assert leftovers(_with_segment_files(*files_of(MANIFEST) - GRAPHS), "index", MANIFEST) == []


@pytest.mark.parametrize("missing", sorted(files_of(MANIFEST) - GRAPHS))
def test_a_missing_file_that_the_manifest_needs_is_data_loss(missing: str) -> None:
    storage = _with_segment_files(*files_of(MANIFEST).difference([missing]))
    with pytest.raises(DataLossError, match=f"index/segments/{missing} is missing; restore"):
        leftovers(storage, "index", MANIFEST)


def test_a_stop_while_a_manifest_is_replaced_leaves_the_old_one_or_the_new_one() -> None:
    old, new, found = Manifest(1, 1), Manifest(2, 2), []
    for stop in itertools.count(1):
        disk = _disk(old)
        disk.crash_after(stop)
        try:
            replace_manifest(disk, "index", new)
        except CrashError:
            found += [read_manifest(disk.after_power_cut(seed), "index") for seed in range(20)]
        else:
            assert all(read_manifest(disk.after_power_cut(seed), "index") == new for seed in range(20))
            break
    assert old in found
    assert new in found
    assert all(manifest in (old, new) for manifest in found)


def test_a_manifest_that_was_read_stays_even_if_the_one_who_wrote_it_was_killed() -> None:
    """Else what it does not need would be removed, and an older one be found after a power cut."""
    old, new, read = Manifest(1, 1), Manifest(2, 2), []
    for stop in range(1, 10):
        disk = _disk(old)
        disk.crash_after(stop)
        try:
            replace_manifest(disk, "index", new)
        except CrashError:
            restarted = disk.after_kill()
            read.append(read_manifest(restarted, "index"))
            for seed in range(20):
                assert read_manifest(restarted.after_power_cut(seed), "index") == read[-1]
    assert old in read
    assert new in read


def test_a_disk_that_fails_is_unavailable() -> None:
    disk = _disk(MANIFEST)
    disk.fail_next("sync_directory")
    with pytest.raises(UnavailableError, match="Input/output error"):
        read_manifest(disk, "index")
    disk.fail_next("rename")
    with pytest.raises(UnavailableError, match="Input/output error"):
        replace_manifest(disk, "index", Manifest(71, 12))
    assert read_manifest(disk, "index") == MANIFEST


def _framed(content: bytes) -> bytes:
    return b'{"format_version":1,"crc32c":%d,"manifest":%s}' % (crc32c(content), content)


def _storage(content: bytes | None = None) -> MemoryStorage:
    """The folder of an index, with these bytes as its manifest."""
    storage = MemoryStorage()
    storage.make_directory("index")
    if content is not None:
        storage.replace(PATH, content)
    return storage


def _with_segment_files(*names: str) -> MemoryStorage:
    storage = _storage()
    storage.make_directory(segments_directory("index"))
    for name in names:
        storage.create(f"index/segments/{name}")
    return storage


def _disk(manifest: Manifest) -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_directory("index")
    disk.sync_directory("")
    replace_manifest(disk, "index", manifest)
    return disk
