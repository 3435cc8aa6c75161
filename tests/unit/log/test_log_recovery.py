"""Damage to a log is a cut tail or data loss that names the file; never another error, never a wrong entry."""

from collections.abc import Iterator, Sequence

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import DataLossError, FailedPreconditionError, PinyonError
from pinyon.log.file_log import FileLog
from pinyon.log.frame import FRAME_HEADER_BYTES, FileHeader, encode_file_header, encode_frame
from pinyon.log.recovery import log_file_path
from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import BytesLike
from tests.opened_log import open_log

GROUPS = [[b"one"], [b"two", b"three" * 9], [b""], [b"four" * 15], [b"five" * 3, b"six"], [b"seven"]]
ENTRIES = [entry for group in GROUPS for entry in group]
FILE_BYTES_MAX = 220
FIRST, LAST = log_file_path("log", 1), log_file_path("log", 5)
SALT = b"0123456789abcdef"
SEED = crc32c(SALT)


def test_the_log_of_these_tests_has_two_files_of_three_frames() -> None:
    storage = _written()
    assert storage.list_directory("log") == ["00000000000000000001.log", "00000000000000000005.log"]
    assert _recovered(storage) == ENTRIES
    assert [_frame_count(storage, path) for path in (FIRST, LAST)] == [3, 3]


def test_each_damaged_byte_of_an_earlier_file_is_data_loss() -> None:
    for _, storage in _with_each_byte_damaged(FIRST):
        with pytest.raises(DataLossError, match=FIRST):
            _open(storage)


def test_each_damaged_byte_of_the_last_file_is_data_loss_but_in_its_final_frame_a_cut_tail() -> None:
    final_frame = len(_written().read(LAST)) - FRAME_HEADER_BYTES - 16
    for offset, storage in _with_each_byte_damaged(LAST):
        if offset < final_frame:
            with pytest.raises(DataLossError, match=LAST):
                _open(storage)
        else:
            assert _recovered(storage) == ENTRIES[:-1]
            assert len(storage.read(LAST)) == final_frame


def test_an_earlier_file_that_is_too_short_is_data_loss() -> None:
    storage = _written()
    whole = bytes(storage.read(FIRST))
    for size in range(len(whole)):
        storage.replace(FIRST, whole[:size])
        with pytest.raises(DataLossError, match="000"):
            _open(storage)


def test_a_last_file_that_is_too_short_ends_with_its_last_whole_frame_and_takes_appends() -> None:
    whole = bytes(_written().read(LAST))
    for size in range(len(whole)):
        storage = _written()
        storage.replace(LAST, whole[:size])
        found = _recovered(storage)
        assert found == ENTRIES[: len(found)]
        assert len(found) >= 4
        _open(storage).append([[b"after"]])
        assert _recovered(storage) == [*found, b"after"]


def test_torn_bytes_says_how_much_was_cut() -> None:
    storage = _written()
    storage.open_append(LAST).append([b"\0" * 13])
    assert _open(storage).torn_bytes == 13
    assert _open(storage).torn_bytes == 0


def test_an_unfinished_file_does_not_hinder_appends_to_the_one_before_it() -> None:
    storage = _written()
    storage.replace(log_file_path("log", 9), b"PINYN")
    roomy = open_log(storage, "log")
    roomy.append([[b"after"]])
    assert storage.list_directory("log") == ["00000000000000000001.log", "00000000000000000005.log"]
    assert _recovered(storage) == [*ENTRIES, b"after"]


def test_foreign_bytes_before_a_frame_that_must_follow_are_data_loss_and_not_a_torn_tail() -> None:
    frames = [encode_frame([[entry]], lsn, SEED) for lsn, entry in ((1, b"a"), (2, b"b"))]
    storage = _with_file([*frames[0], b"12345678", *frames[1]])
    with pytest.raises(DataLossError, match="byte 88: the frame is damaged, and another frame follows at byte 96"):
        _open(storage)


def test_a_missing_file_is_data_loss() -> None:
    storage = _written()
    storage.remove(FIRST)
    with pytest.raises(DataLossError, match=rf"{LAST}.* LSN 5 where 1 must follow; a file is missing"):
        _open(storage)


def test_a_missing_file_is_data_loss_even_if_the_one_after_it_is_unfinished() -> None:
    storage = _written()
    storage.replace(log_file_path("log", 50), b"")
    with pytest.raises(DataLossError, match="LSN 50 where 9 must follow; a file is missing"):
        _open(storage)


def test_a_damaged_frame_is_data_loss_even_if_the_file_after_it_is_unfinished() -> None:
    storage = _written()
    content = bytearray(storage.read(LAST))
    content[-1] ^= 1
    storage.replace(LAST, bytes(content))
    storage.replace(log_file_path("log", 9), b"")
    with pytest.raises(DataLossError, match="the frame is damaged, and another log file follows"):
        _open(storage)


@pytest.mark.parametrize("begin_lsn", range(1, 10))
def test_a_log_is_replayed_from_its_begin_and_the_files_before_it_are_removed(begin_lsn: int) -> None:
    storage = _written()
    assert _recovered(storage, begin_lsn) == ENTRIES[begin_lsn - 1 :]
    assert storage.list_directory("log") == [path.removeprefix("log/") for path in (FIRST, LAST)[begin_lsn >= 5 :]]
    log = _open(storage, begin_lsn)
    assert (log.last_lsn, log.append([[b"after"]])) == (8, 9)


def test_a_log_that_ends_before_the_entry_that_precedes_its_begin_is_data_loss() -> None:
    for storage, path in ((_written(), LAST), (_written_first_file(), FIRST)):
        end_lsn = _open(storage).last_lsn
        assert _recovered(storage, end_lsn + 1) == []
        before = {name: bytes(storage.read(f"log/{name}")) for name in storage.list_directory("log")}
        with pytest.raises(DataLossError, match=rf"{path}, .* ends at LSN {end_lsn}, but had reached {end_lsn + 1};"):
            _open(storage, end_lsn + 2)
        assert before == {name: bytes(storage.read(f"log/{name}")) for name in storage.list_directory("log")}


def test_a_torn_tail_of_entries_before_the_begin_is_data_loss_and_is_not_cut() -> None:
    storage = _written()
    content = bytes(storage.read(LAST))
    storage.replace(LAST, content[:-1])
    with pytest.raises(DataLossError, match=rf"{LAST}, byte {len(content) - 48}: the log ends at LSN 7"):
        _open(storage, 9)
    assert bytes(storage.read(LAST)) == content[:-1]


@pytest.mark.parametrize("begin_lsn", range(1, 5))
def test_a_log_whose_first_file_starts_after_the_begin_is_data_loss(begin_lsn: int) -> None:
    storage = _written()
    storage.remove(FIRST)
    with pytest.raises(DataLossError, match=rf"{LAST}.* LSN 5 where {begin_lsn} must follow; a file is missing"):
        _open(storage, begin_lsn)


def test_a_log_without_files_is_data_loss_if_there_were_entries() -> None:
    for content in (None, b"PINYN"):
        storage = MemoryStorage()
        storage.make_directory("log")
        if content is not None:
            storage.replace(LAST, content)
        with pytest.raises(DataLossError, match="log has no file with LSN 5, which the log had reached; restore"):
            _open(storage, 5)


def test_of_the_files_before_the_start_any_may_be_missing_or_damaged() -> None:
    storage = _rolled(6)
    storage.remove(log_file_path("log", 2))
    for lsn in (1, 3):
        storage.replace(log_file_path("log", lsn), b"?" * 99)
    assert _recovered(storage, 5) == [b"5", b"6"]
    assert storage.list_directory("log") == ["00000000000000000005.log", "00000000000000000006.log"]


def test_a_missing_file_from_the_start_on_is_data_loss() -> None:
    for missing in (3, 4, 5):
        storage = _rolled(6)
        storage.remove(log_file_path("log", missing))
        with pytest.raises(DataLossError, match=f"{missing + 1} where {missing} must follow; a file is missing"):
            _open(storage, 3)


def test_an_unfinished_file_is_not_the_start() -> None:
    storage = _rolled(6)
    storage.replace(log_file_path("log", 7), b"PINYN")
    assert _recovered(storage, 7) == []
    assert storage.list_directory("log") == ["00000000000000000006.log"]
    assert _open(storage, 7).append([[b"7"]]) == 7


def test_a_start_without_frames_goes_on_with_its_lsn() -> None:
    storage = _rolled(6)
    storage.replace(log_file_path("log", 7), encode_file_header(FileHeader(SALT, 7)))
    log = _open(storage, 7)
    assert (log.last_lsn, list(log.replay()), log.append([[b"7"]])) == (6, [], 7)
    assert storage.list_directory("log") == ["00000000000000000007.log"]
    assert _recovered(storage, 7) == [b"7"]


@given(data=st.data())
def test_any_damage_to_a_trimmed_log_is_our_error_or_a_prefix(data: st.DataObject) -> None:
    begin_lsn, names = data.draw(st.integers(1, 7)), [log_file_path("log", lsn) for lsn in range(1, 7)]
    storage = _rolled(6)
    for path in data.draw(st.sets(st.sampled_from(names))):
        storage.replace(path, bytes(storage.read(path))[: data.draw(st.integers(0, 100))])
    for path in data.draw(st.sets(st.sampled_from(names))):
        storage.remove(path)
    try:
        found = _recovered(storage, begin_lsn)
    except DataLossError:
        return
    assert found == [b"%d" % lsn for lsn in range(begin_lsn, begin_lsn + len(found))]


def test_a_frame_that_does_not_follow_the_one_before_is_data_loss() -> None:
    for lsn in (1, 3):
        storage = _with_file(encode_frame([[b"a"]], 1, SEED) + encode_frame([[b"b"]], lsn, SEED))
        with pytest.raises(DataLossError, match=f"a frame starts at LSN {lsn} where 2 must follow"):
            _open(storage)


def test_a_file_whose_header_has_another_lsn_than_its_name_is_data_loss() -> None:
    storage = MemoryStorage()
    storage.make_directory("log")
    storage.replace(FIRST, encode_file_header(FileHeader(SALT, 2)))
    with pytest.raises(DataLossError, match="the file header says LSN 2 where 1 must follow"):
        _open(storage)


def test_a_frame_of_another_file_at_the_tail_is_cut() -> None:
    storage = _with_file(encode_frame([[b"a"]], 1, SEED) + encode_frame([[b"b"]], 2, crc32c(b"other")))
    assert _recovered(storage) == [b"a"]


def test_an_unknown_format_version_is_refused_with_advice() -> None:
    storage = MemoryStorage()
    storage.make_directory("log")
    storage.replace(FIRST, encode_file_header(FileHeader(SALT, 1, version=2)))
    with pytest.raises(FailedPreconditionError, match=r"has log format 2; this Pinyon reads format 1: open .* with"):
        _open(storage)


def test_other_files_in_the_folder_are_left_alone() -> None:
    storage = _written()
    for name in ("log/notes.txt", "log/1.log", "log/00000000000000000009.log.tmp"):
        storage.replace(name, b"?")
    assert _recovered(storage) == ENTRIES
    assert len(storage.list_directory("log")) == 5


@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_file_are_our_error_or_an_empty_log(content: bytes) -> None:
    storage = MemoryStorage()
    storage.make_directory("log")
    storage.replace(FIRST, content)
    _assert_only_our_errors(storage)


@given(content=st.binary(max_size=300))
def test_any_bytes_after_a_file_header_are_an_empty_log(content: bytes) -> None:
    assert _recovered(_with_file([content])) == []


@given(payload=st.binary(max_size=100), lsn=st.integers(0, 2**64 - 1), count=st.integers(0, 2**32 - 1))
def test_any_frame_with_right_checksums_is_our_error_or_its_entries(payload: bytes, lsn: int, count: int) -> None:
    fields = b"".join(number.to_bytes(size, "little") for number, size in ((len(payload), 8), (lsn, 8), (count, 4)))
    fields += crc32c(payload, SEED).to_bytes(4, "little")
    storage = _with_file([b"PYNF", crc32c(fields, SEED).to_bytes(4, "little"), fields, payload])
    _assert_only_our_errors(storage)


@given(data=st.data())
def test_any_damage_to_a_log_is_our_error_or_a_prefix(data: st.DataObject) -> None:
    storage = _written()
    path = data.draw(st.sampled_from([FIRST, LAST]))
    content = bytearray(storage.read(path))
    start = data.draw(st.integers(0, len(content)))
    piece = data.draw(st.binary(max_size=40))
    content[start : start + data.draw(st.integers(0, 60))] = piece
    storage.replace(path, bytes(content))
    try:
        found = _recovered(storage)
    except PinyonError:
        return
    assert found == ENTRIES[: len(found)]


def _open(storage: MemoryStorage, begin_lsn: int = 1) -> FileLog:
    return open_log(storage, "log", file_bytes_max=FILE_BYTES_MAX, begin_lsn=begin_lsn)


def _recovered(storage: MemoryStorage, begin_lsn: int = 1) -> list[bytes]:
    return [bytes(entry) for _, entry in _open(storage, begin_lsn).replay()]


def _frame_count(storage: MemoryStorage, path: str) -> int:
    return bytes(storage.read(path)).count(b"PYNF")


def _assert_only_our_errors(storage: MemoryStorage) -> None:
    try:
        log = _open(storage)
        found = [bytes(entry) for _, entry in log.replay()]
    except PinyonError as error:
        names_the_file = FIRST in error.message
    else:
        names_the_file = True
        assert len(found) == log.last_lsn
    assert names_the_file


def _written() -> MemoryStorage:
    """The log of GROUPS: a first file of three frames, a last one of three."""
    storage = MemoryStorage()
    log = _open(storage)
    for group in GROUPS:
        log.append([[entry] for entry in group])
    return storage


def _written_first_file() -> MemoryStorage:
    """The log of GROUPS without its last file."""
    storage = _written()
    storage.remove(LAST)
    return storage


def _rolled(file_count: int) -> MemoryStorage:
    """A log with one entry in each file: its LSN in digits."""
    storage = MemoryStorage()
    log = open_log(storage, "log", file_bytes_max=0)
    for lsn in range(1, file_count + 1):
        log.append([[b"%d" % lsn]])
    return storage


def _with_file(parts: Sequence[BytesLike]) -> MemoryStorage:
    """A log of one file with these bytes after its header."""
    storage = MemoryStorage()
    storage.make_directory("log")
    storage.create(FIRST).append([encode_file_header(FileHeader(SALT, 1)), *parts])
    return storage


def _with_each_byte_damaged(path: str) -> Iterator[tuple[int, MemoryStorage]]:
    """The written log with one bit of one byte of a file changed, and which byte."""
    whole = bytes(_written().read(path))
    for offset in range(len(whole)):
        storage = _written()
        storage.replace(path, whole[:offset] + bytes([whole[offset] ^ 1 << offset % 8]) + whole[offset + 1 :])
        yield offset, storage
