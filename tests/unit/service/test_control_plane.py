"""The control plane creates, shows, changes and deletes indexes, and refuses without changing anything."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pytest

from pinyon.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    PinyonError,
)
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.service.control_plane import ControlPlane
from pinyon.service.index_requests import ConfigureIndex, CreateIndex
from tests.unit.service.fake_indexes import CountingIds, FakeClock, FakeIndexes
from tests.unit.service.fake_models import FakeModels

SERVERLESS = Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"})
DOCS = CreateIndex(name="docs", deployment=SERVERLESS, dimension=3)


@pytest.fixture
def indexes() -> FakeIndexes:
    return FakeIndexes()


@pytest.fixture
def control_plane(indexes: FakeIndexes) -> ControlPlane:
    return ControlPlane(indexes, FakeModels(), FakeClock(), CountingIds())


def test_a_created_index_is_complete(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(
        CreateIndex(
            name="docs",
            deployment=SERVERLESS,
            dimension=3,
            metric=Metric.EUCLIDEAN,
            deletion_protection=True,
            tags={"team": "search", "unset": ""},
            filterable_fields=("genre",),
        )
    )
    assert created == IndexDefinition(
        name="docs",
        index_id=f"{1:032x}",
        vector_type=VectorType.DENSE,
        dimension=3,
        metric=Metric.EUCLIDEAN,
        port=5081,
        deployment=SERVERLESS,
        deletion_protection=True,
        tags={"team": "search"},
        filterable_fields=("genre",),
        created_at_s=1_700_000_000.0,
    )
    assert control_plane.describe_index("docs") == created
    assert control_plane.list_indexes() == [created]


def test_defaults_depend_on_the_vector_type(control_plane: ControlPlane) -> None:
    dense = control_plane.create_index(DOCS)
    sparse = control_plane.create_index(CreateIndex(name="words", deployment=SERVERLESS, vector_type=VectorType.SPARSE))
    assert (dense.metric, dense.dimension) == (Metric.COSINE, 3)
    assert (sparse.metric, sparse.dimension) == (Metric.DOTPRODUCT, None)


def test_an_index_without_a_name_gets_one(control_plane: ControlPlane) -> None:
    nameless = CreateIndex(name=None, deployment=SERVERLESS, dimension=3)
    first, second = control_plane.create_index(nameless), control_plane.create_index(nameless)
    assert first.name.startswith("index-")
    assert first.name != second.name
    assert control_plane.describe_index(first.name) == first


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (CreateIndex(name="Docs", deployment=SERVERLESS, dimension=3), InvalidArgumentError),
        (CreateIndex(name="docs", deployment=SERVERLESS), InvalidArgumentError),
        (CreateIndex(name="docs", deployment=SERVERLESS, dimension=3, tags={"ä": "v"}), InvalidArgumentError),
        (CreateIndex(name="docs", deployment=SERVERLESS, dimension=3, filterable_fields=("$",)), InvalidArgumentError),
        (
            CreateIndex(
                name="docs",
                deployment=Deployment(kind="serverless", options={"cloud": "aws", "region": "moon"}),
                dimension=3,
            ),
            NotFoundError,
        ),
    ],
    ids=["name", "dimension", "tags", "filterable fields", "region"],
)
def test_an_index_that_breaks_a_rule_is_not_created(
    control_plane: ControlPlane, request_: CreateIndex, error: type[PinyonError]
) -> None:
    with pytest.raises(error):
        control_plane.create_index(request_)
    assert control_plane.list_indexes() == []


def test_a_name_is_given_once(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(DOCS)
    with pytest.raises(AlreadyExistsError, match=r"^Resource already exists$"):
        control_plane.create_index(DOCS)
    assert control_plane.list_indexes() == [created]


class RacingIndexes(FakeIndexes):
    """Holds back the first thread that looks for a name until a second one has looked too, if it can."""

    def __init__(self) -> None:
        super().__init__()
        self._both_looked = Barrier(2)

    def definitions(self) -> list[IndexDefinition]:
        seen = super().definitions()
        with suppress(BrokenBarrierError):
            self._both_looked.wait(timeout=0.1)
        return seen


def test_of_two_threads_that_create_one_name_one_succeeds() -> None:
    control_plane = ControlPlane(RacingIndexes(), FakeModels(), FakeClock(), CountingIds())
    with ThreadPoolExecutor(2) as threads:
        outcomes = [threads.submit(control_plane.create_index, DOCS).exception for _ in range(2)]
    errors = [outcome() for outcome in outcomes]
    assert errors.count(None) == 1
    assert sum(isinstance(error, AlreadyExistsError) for error in errors) == 1


def test_configuring_changes_what_is_named_and_nothing_else(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(
        CreateIndex(name="docs", deployment=SERVERLESS, dimension=3, tags={"a": "1", "b": "2"})
    )
    assert control_plane.configure_index("docs", ConfigureIndex()) == created

    control_plane.configure_index("docs", ConfigureIndex(deletion_protection=True))
    control_plane.configure_index("docs", ConfigureIndex(tags={"a": "", "c": "3"}))
    changed = control_plane.describe_index("docs")
    assert (changed.deletion_protection, changed.tags) == (True, {"b": "2", "c": "3"})
    assert (changed.index_id, changed.port) == (created.index_id, created.port)


def test_a_configuration_that_breaks_a_rule_changes_nothing(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(DOCS)
    for request in (
        ConfigureIndex(deletion_protection=True, tags={"": "v"}),
        ConfigureIndex(deletion_protection=True, replicas=2),
    ):
        with pytest.raises(InvalidArgumentError):
            control_plane.configure_index("docs", request)
    assert control_plane.describe_index("docs") == created


def test_a_protected_index_is_not_deleted_until_the_protection_is_lifted(control_plane: ControlPlane) -> None:
    control_plane.create_index(DOCS)
    control_plane.configure_index("docs", ConfigureIndex(deletion_protection=True))
    with pytest.raises(PermissionDeniedError) as caught:
        control_plane.delete_index("docs")
    assert caught.value.message == (
        "Deletion protection is enabled for this index. Disable deletion protection before retrying."
    )
    control_plane.configure_index("docs", ConfigureIndex(deletion_protection=False))
    control_plane.delete_index("docs")
    assert control_plane.list_indexes() == []


def test_of_an_index_that_is_closed_only_the_protection_changes_until_it_is_deleted(
    control_plane: ControlPlane, indexes: FakeIndexes
) -> None:
    created = control_plane.create_index(
        CreateIndex(name="docs", deployment=SERVERLESS, dimension=3, deletion_protection=True, tags={"a": "1"})
    )
    assert control_plane.is_ready("docs")
    indexes.closed["docs"] = "The index docs is closed."
    assert not control_plane.is_ready("docs")
    assert control_plane.list_indexes() == [control_plane.describe_index("docs")] == [created]
    with pytest.raises(FailedPreconditionError, match=r"^The index docs is closed. Until it is open again, nothing"):
        control_plane.configure_index("docs", ConfigureIndex(deletion_protection=False, tags={"a": "2"}))
    assert control_plane.describe_index("docs") == created
    with pytest.raises(AlreadyExistsError):
        control_plane.create_index(DOCS)
    # Clients send the tags that they see, too.
    control_plane.configure_index("docs", ConfigureIndex(deletion_protection=False, tags={"a": "1"}))
    control_plane.delete_index("docs")
    assert control_plane.list_indexes() == []


def test_a_name_is_free_again_after_deletion_and_the_id_is_another(control_plane: ControlPlane) -> None:
    first = control_plane.create_index(DOCS)
    control_plane.delete_index("docs")
    assert control_plane.create_index(DOCS).index_id != first.index_id


def test_an_unknown_index_is_not_found(control_plane: ControlPlane) -> None:
    for call in (
        control_plane.describe_index,
        control_plane.delete_index,
        lambda name: control_plane.configure_index(name, ConfigureIndex()),
    ):
        with pytest.raises(NotFoundError, match=r"^Resource docs not found$"):
            call("docs")
