"""What every storage must do. Inherit `StorageSuite` and provide a pytest fixture `storage` that gives an empty one.

    class TestMyStorage(StorageSuite):
        @pytest.fixture
        def storage(self) -> Storage:
            return MyStorage()

The promises about power cuts cannot be tested from here: `pinyon.testing.simulated_disk` takes the part of the disk.
"""

import pytest

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.protocol import Storage


class StorageSuite:
    """Contract tests of `pinyon.storage.protocol.Storage`."""

    def test_read_gives_back_what_was_appended(self, storage: Storage) -> None:
        file = storage.create("a.log")
        file.append([b"one", bytearray(b"two"), memoryview(b"three")])
        file.append([b"four"])
        assert bytes(storage.read("a.log")) == b"onetwothreefour"
        file.close()

    def test_append_takes_any_number_of_parts_and_empty_ones(self, storage: Storage) -> None:
        parts = [str(i).encode() if i % 3 else b"" for i in range(5000)]
        file = storage.create("a.log")
        file.append(parts)
        file.append([])
        file.sync()
        file.close()
        assert bytes(storage.read("a.log")) == b"".join(parts)

    def test_size_counts_all_that_was_written(self, storage: Storage) -> None:
        file = storage.create("a.log")
        sizes = [file.size]
        for part in (b"abc", b"defg"):
            file.append([part])
            sizes.append(file.size)
        file.close()
        assert sizes == [0, 3, 7]

    def test_an_existing_file_is_continued(self, storage: Storage) -> None:
        file = storage.create("a.log")
        file.append([b"abc"])
        file.close()
        again = storage.open_append("a.log")
        assert again.size == 3
        again.append([b"def"])
        again.close()
        assert bytes(storage.read("a.log")) == b"abcdef"

    def test_appending_goes_on_where_truncate_cut(self, storage: Storage) -> None:
        file = storage.create("a.log")
        file.append([b"abcdef"])
        file.truncate(2)
        assert file.size == 2
        file.append([b"X"])
        file.sync()
        file.close()
        assert bytes(storage.read("a.log")) == b"abX"

    def test_an_empty_file_reads_as_no_bytes(self, storage: Storage) -> None:
        storage.create("a.log").close()
        assert len(storage.read("a.log")) == 0

    def test_what_was_read_is_read_only_and_outlives_the_file(self, storage: Storage) -> None:
        storage.replace("a", b"abc")
        content = storage.read("a")
        storage.remove("a")
        assert content.readonly
        assert bytes(content) == b"abc"

    def test_a_missing_file_is_not_found(self, storage: Storage) -> None:
        with pytest.raises(NotFoundError, match="no-such"):
            storage.read("no-such")
        with pytest.raises(NotFoundError, match="no-such"):
            storage.open_append("no-such")

    def test_create_refuses_a_name_that_is_taken(self, storage: Storage) -> None:
        storage.replace("a", b"abc")
        with pytest.raises(UnavailableError, match=r"a: File exists"):
            storage.create("a")
        assert bytes(storage.read("a")) == b"abc"

    def test_a_missing_parent_is_an_error_that_names_the_path(self, storage: Storage) -> None:
        with pytest.raises(UnavailableError, match="no/file"):
            storage.create("no/file")
        with pytest.raises(UnavailableError, match="no/folder"):
            storage.make_directory("no/folder")
        with pytest.raises(UnavailableError, match="no"):
            storage.sync_directory("no")

    def test_replace_creates_and_overwrites_and_leaves_nothing_aside(self, storage: Storage) -> None:
        storage.make_directory("d")
        storage.replace("d/a", b"first")
        storage.replace("d/a", b"second, longer")
        assert bytes(storage.read("d/a")) == b"second, longer"
        assert storage.list_directory("d") == ["a"]

    def test_what_was_read_before_a_replacement_does_not_change(self, storage: Storage) -> None:
        storage.replace("a", b"first")
        before = storage.read("a")
        storage.replace("a", b"other")
        assert bytes(before) == b"first"

    def test_list_directory_gives_files_and_folders_of_that_folder_sorted(self, storage: Storage) -> None:
        storage.make_directory("d")
        storage.make_directory("d/sub")
        for name in ("d/b", "d/a", "d/sub/c"):
            storage.create(name).close()
        assert storage.list_directory("") == ["d"]
        assert storage.list_directory("d") == ["a", "b", "sub"]
        assert storage.list_directory("no-such") == []

    def test_make_directory_twice_is_fine(self, storage: Storage) -> None:
        storage.make_directory("d")
        storage.create("d/a").close()
        storage.make_directory("d")
        assert storage.list_directory("d") == ["a"]

    def test_remove_takes_one_file_and_does_not_mind_its_absence(self, storage: Storage) -> None:
        storage.replace("a", b"")
        storage.replace("b", b"")
        storage.remove("a")
        storage.remove("a")
        assert storage.list_directory("") == ["b"]

    def test_remove_tree_takes_all_below_and_nothing_beside(self, storage: Storage) -> None:
        for folder in ("d", "d/sub", "d2"):
            storage.make_directory(folder)
            storage.replace(folder + "/a", b"x")
        storage.remove_tree("d")
        storage.remove_tree("d")
        assert storage.list_directory("") == ["d2"]
        assert storage.list_directory("d2") == ["a"]
        with pytest.raises(NotFoundError):
            storage.read("d/sub/a")

    def test_sync_directory_takes_the_root_and_folders(self, storage: Storage) -> None:
        storage.make_directory("d")
        storage.sync_directory("d")
        storage.sync_directory("")
