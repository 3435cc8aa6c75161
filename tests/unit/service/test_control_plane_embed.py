"""The control plane gives indexes a model, keeps what served it, and refuses without changing anything."""

from dataclasses import replace

import msgspec
import pytest

from pinyon.errors import InvalidArgumentError, PinyonError, UnavailableError
from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.service.control_plane import ControlPlane
from pinyon.service.index_requests import ConfigureIndex, CreateIndex, EmbedRequest
from tests.unit.service.fake_indexes import CountingIds, FakeClock, FakeIndexes
from tests.unit.service.fake_models import E5, LLAMA, RERANKER, WORDS, FakeModels

SERVERLESS = Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"})
BODY = {"text": "body"}
WITH_E5 = EmbedRequest(model=E5.name, field_map=BODY)
TEXTS = CreateIndex(name="texts", deployment=SERVERLESS, embed=WITH_E5)
PLAIN = CreateIndex(name="plain", deployment=SERVERLESS, dimension=1024)
E5_EMBED = Embed(
    model=E5.name,
    text_field="body",
    read_parameters={"input_type": "query", "truncate": "END"},
    write_parameters={"input_type": "passage", "truncate": "END"},
    fingerprint="weights-1",
)


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def control_plane(models: FakeModels) -> ControlPlane:
    return ControlPlane(FakeIndexes(), models, FakeClock(), CountingIds())


def test_an_index_for_a_model_is_complete(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(
        replace(TEXTS, metric=Metric.EUCLIDEAN, tags={"a": "b"}, filterable_fields=("genre",), deletion_protection=True)
    )
    assert created == IndexDefinition(
        name="texts",
        index_id=f"{1:032x}",
        vector_type=VectorType.DENSE,
        dimension=1024,
        metric=Metric.EUCLIDEAN,
        port=5081,
        deployment=SERVERLESS,
        deletion_protection=True,
        tags={"a": "b"},
        filterable_fields=("genre",),
        created_at_s=1_700_000_000.0,
        embed=E5_EMBED,
    )
    assert control_plane.describe_index("texts") == created


def test_an_index_for_a_sparse_model_is_sparse(control_plane: ControlPlane) -> None:
    created = control_plane.create_index(replace(TEXTS, embed=EmbedRequest(model=WORDS.name, field_map=BODY)))
    assert (created.vector_type, created.dimension, created.metric) == (VectorType.SPARSE, None, Metric.DOTPRODUCT)


def test_a_stand_in_is_kept(control_plane: ControlPlane, models: FakeModels) -> None:
    models.by_name[E5.name].served_by = "all-MiniLM-L6-v2"
    models.by_name[E5.name].weights = "minilm"
    expected = msgspec.structs.replace(E5_EMBED, fingerprint="minilm", served_by="all-MiniLM-L6-v2")
    assert control_plane.create_index(TEXTS).embed == expected
    control_plane.create_index(PLAIN)
    assert control_plane.configure_index("plain", ConfigureIndex(embed=WITH_E5)).embed == expected


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (replace(TEXTS, dimension=3), "dimension=3"),
        (replace(TEXTS, metric=Metric.DOTPRODUCT), "metric='dotproduct'"),
        (replace(TEXTS, embed=replace(WITH_E5, field_map={})), "Missing required key 'text'"),
        (replace(TEXTS, embed=replace(WITH_E5, read_parameters={"truncate": 1})), "truncate=1"),
        (replace(TEXTS, embed=replace(WITH_E5, model="x")), "^Model x not found. Supported models: multilingual-e5"),
        (replace(TEXTS, embed=replace(WITH_E5, model=RERANKER)), "does not support embedding"),
        (replace(TEXTS, name="Texts"), "lower case"),
        (replace(TEXTS, tags={"": "v"}), "Tag key"),
    ],
)
def test_an_index_that_breaks_a_rule_is_not_created_and_loads_no_model(
    control_plane: ControlPlane, models: FakeModels, request_: CreateIndex, text: str
) -> None:
    loaded: list[bool] = []
    models.load = lambda: loaded.append(True)
    with pytest.raises(InvalidArgumentError, match=text):
        control_plane.create_index(request_)
    assert control_plane.list_indexes() == []
    assert loaded == []


def fail_to_load() -> None:
    raise UnavailableError("install pinyon[minilm]")


def test_a_model_that_cannot_be_loaded_creates_and_changes_nothing(
    control_plane: ControlPlane, models: FakeModels
) -> None:
    plain = control_plane.create_index(PLAIN)
    models.load = fail_to_load
    with pytest.raises(UnavailableError, match="install"):
        control_plane.create_index(TEXTS)
    with pytest.raises(UnavailableError, match="install"):
        control_plane.configure_index("plain", ConfigureIndex(deletion_protection=True, embed=WITH_E5))
    assert control_plane.list_indexes() == [plain]


def test_a_plain_index_gets_a_model_and_keeps_the_rest(control_plane: ControlPlane) -> None:
    plain = control_plane.create_index(replace(PLAIN, metric=Metric.EUCLIDEAN, tags={"a": "b"}))
    changed = control_plane.configure_index("plain", ConfigureIndex(embed=WITH_E5))
    assert changed == control_plane.describe_index("plain") == msgspec.structs.replace(plain, embed=E5_EMBED)


@pytest.mark.parametrize(
    ("create", "embed", "text"),
    [
        (PLAIN, EmbedRequest(field_map=BODY), "model is required"),
        (PLAIN, EmbedRequest(model=E5.name), "field_map is required"),
        (PLAIN, replace(WITH_E5, model="x"), "^Model x not found"),
        (PLAIN, replace(WITH_E5, model=WORDS.name), "vector type is dense"),
        (PLAIN, EmbedRequest(of_field="body", read_parameters={}), "'body' is not a semantic_text field"),
        (replace(PLAIN, dimension=3), WITH_E5, "dimension is 3"),
        (replace(PLAIN, metric=Metric.DOTPRODUCT), WITH_E5, "metric is dotproduct"),
    ],
)
def test_a_plain_index_that_cannot_have_the_model_stays_as_it_is(
    control_plane: ControlPlane, create: CreateIndex, embed: EmbedRequest, text: str
) -> None:
    before = control_plane.create_index(create)
    with pytest.raises(InvalidArgumentError, match=text):
        control_plane.configure_index("plain", ConfigureIndex(deletion_protection=True, embed=embed))
    assert control_plane.describe_index("plain") == before


def test_parameters_and_the_text_field_may_change_and_the_fingerprint_does_not(
    control_plane: ControlPlane, models: FakeModels
) -> None:
    before = control_plane.create_index(TEXTS)
    models.by_name[E5.name].weights = "weights-2"
    models.by_name[E5.name].served_by = "another"
    request = EmbedRequest(model=E5.name, field_map={"text": "title"}, write_parameters={"truncate": "NONE"})
    after = control_plane.configure_index("texts", ConfigureIndex(embed=request))
    embed = msgspec.structs.replace(
        E5_EMBED, text_field="title", write_parameters={"input_type": "passage", "truncate": "NONE"}
    )
    assert after == control_plane.describe_index("texts") == msgspec.structs.replace(before, embed=embed)


@pytest.mark.parametrize(
    ("embed", "text"),
    [
        (EmbedRequest(model=LLAMA.name), "cannot be changed once it is set"),
        (EmbedRequest(field_map={}), "Missing required key 'text'"),
        (EmbedRequest(read_parameters={"dimension": 1024}), "Unsupported parameter 'dimension'"),
        (EmbedRequest(of_field="title"), "'title' is not a semantic_text field"),
    ],
)
def test_a_wrong_change_of_the_model_changes_nothing(
    control_plane: ControlPlane, embed: EmbedRequest, text: str
) -> None:
    before = control_plane.create_index(TEXTS)
    with pytest.raises(InvalidArgumentError, match=text):
        control_plane.configure_index("texts", ConfigureIndex(deletion_protection=True, embed=embed))
    assert control_plane.describe_index("texts") == before


def test_other_changes_need_no_model(control_plane: ControlPlane, models: FakeModels) -> None:
    control_plane.create_index(TEXTS)
    models.by_name.clear()
    assert control_plane.configure_index("texts", ConfigureIndex(tags={"a": "b"})).embed == E5_EMBED


def test_parameters_change_without_loading_the_model(control_plane: ControlPlane, models: FakeModels) -> None:
    control_plane.create_index(TEXTS)
    models.load = fail_to_load
    control_plane.configure_index("texts", ConfigureIndex(embed=EmbedRequest(read_parameters={"truncate": "NONE"})))


def test_changes_made_while_a_model_loads_do_not_wait_and_are_kept(
    control_plane: ControlPlane, models: FakeModels
) -> None:
    control_plane.create_index(PLAIN)

    def load() -> None:
        models.load = lambda: None
        control_plane.configure_index("plain", ConfigureIndex(tags={"a": "b"}))
        control_plane.create_index(replace(PLAIN, name="other"))

    models.load = load
    changed = control_plane.configure_index("plain", ConfigureIndex(deletion_protection=True, embed=WITH_E5))
    assert (changed.tags, changed.deletion_protection, changed.embed) == ({"a": "b"}, True, E5_EMBED)
    assert control_plane.describe_index("plain") == changed


def test_a_model_that_loads_for_an_index_that_got_another_one_is_refused(
    control_plane: ControlPlane, models: FakeModels
) -> None:
    control_plane.create_index(PLAIN)

    def load() -> None:
        models.load = lambda: None
        control_plane.configure_index("plain", ConfigureIndex(embed=replace(WITH_E5, model=LLAMA.name)))

    models.load = load
    with pytest.raises(PinyonError, match=r"cannot be changed once it is set: it is 'llama-text-embed-v2'"):
        control_plane.configure_index("plain", ConfigureIndex(embed=WITH_E5))
