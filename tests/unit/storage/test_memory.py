"""The storage in memory keeps the contract."""

import pytest

from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import Storage
from pinyon.testing.storage_suite import StorageSuite


class TestMemoryStorage(StorageSuite):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()
