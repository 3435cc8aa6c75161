"""What an index may be, rule by rule, with the texts that clients see."""

from collections.abc import Callable

import pytest

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.model.index import Deployment
from pinyon.model.metric import Metric, VectorType
from pinyon.model.recall import TARGET_RECALL_TAG
from pinyon.service.index_requests import ConfigureIndex, CreateIndex
from pinyon.service.index_rules import (
    SERVERLESS_REGIONS,
    check_filterable_fields,
    check_name,
    check_vectors,
    complete_deployment,
    configured_deployment,
    default_metric,
    merged_tags,
)


def refusal(check: Callable[[], object]) -> str | None:
    """The text with which a check refuses its argument, None if it accepts it."""
    try:
        check()
    except InvalidArgumentError as error:
        return error.message
    return None


def serverless(cloud: str = "aws", region: str = "us-east-1") -> Deployment:
    return Deployment(kind="serverless", options={"cloud": cloud, "region": region})


def pod(**options: object) -> Deployment:
    defaults = {"environment": "us-east1-gcp", "pod_type": "p1.x1", "replicas": 1, "shards": 1}
    return Deployment(kind="pod", options=defaults | options)


@pytest.mark.parametrize("name", ["a", "7", "docs", "a-b--c", "a" * 45])
def test_a_good_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["-a", "a-", "-", "A", "a_b", "a.b", "a b", "ä", "a\n", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_name_of_other_characters(name: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_name(name)
    assert caught.value.message == (
        "Name must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character"
    )


@pytest.mark.parametrize(("name", "length"), [("", 0), ("a" * 46, 46)])
def test_a_name_of_another_length(name: str, length: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^Name must be 1 to 45 characters long, and has {length}$"):
        check_name(name)


@pytest.mark.parametrize(
    ("vector_type", "dimension", "metric", "text"),
    [
        ("dense", 1, None, None),
        ("dense", 20_000, "euclidean", None),
        ("sparse", None, None, None),
        ("sparse", None, "dotproduct", None),
        ("dense", None, None, "dimension must be specified for dense indexes"),
        ("dense", 0, None, "dimension must be between 1 and 20000, and is 0"),
        ("dense", -1, None, "dimension must be between 1 and 20000, and is -1"),
        ("dense", 20_001, None, "dimension must be between 1 and 20000, and is 20001"),
        ("sparse", 3, None, "dimension should not be specified for sparse indexes"),
        ("sparse", None, "cosine", "Sparse vector indexes must use the metric dotproduct"),
        ("sparse", None, "euclidean", "Sparse vector indexes must use the metric dotproduct"),
    ],
)
def test_dimension_and_metric(vector_type: str, dimension: int | None, metric: str | None, text: str | None) -> None:
    request = CreateIndex(
        name="a",
        deployment=serverless(),
        vector_type=VectorType(vector_type),
        dimension=dimension,
        metric=Metric(metric) if metric else None,
    )
    assert refusal(lambda: check_vectors(request)) == text


def test_default_metrics() -> None:
    assert default_metric(VectorType.DENSE) is Metric.COSINE
    assert default_metric(VectorType.SPARSE) is Metric.DOTPRODUCT


def test_tags_are_merged_and_an_empty_value_removes_one() -> None:
    assert merged_tags({"a": "1", "b": "2"}, {"b": "", "c": "3", "never-set": ""}) == {"a": "1", "c": "3"}


def test_the_largest_tags_fit() -> None:
    tags = {f"{number:080}": "~" * 120 for number in range(20)}
    assert merged_tags({}, tags) == tags
    assert len(merged_tags(tags, {f"{0:080}": "", "another": "value"})) == 20


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"": "v"}, "Tag key '' must be 1 to 80 characters, each alphanumeric, '_' or '-'"),
        ({"a b": "v"}, "Tag key 'a b' must be 1 to 80 characters, each alphanumeric, '_' or '-'"),
        ({"a\n": "v"}, "Tag key 'a\\n' must be 1 to 80 characters, each alphanumeric, '_' or '-'"),
        ({"k": "é"}, "The value of tag 'k' must be at most 120 printable ASCII characters"),
        ({"k": "a\n"}, "The value of tag 'k' must be at most 120 printable ASCII characters"),
        ({"k": "v" * 121}, "The value of tag 'k' must be at most 120 printable ASCII characters"),
        ({f"k{n}": "v" for n in range(20)}, "An index may have at most 20 tags, and would have 21"),
    ],
)
def test_tags_that_break_a_rule(changes: dict[str, str], text: str) -> None:
    assert refusal(lambda: merged_tags({"one": "1"}, changes)) == text


def test_a_tag_key_of_81_characters_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="must be 1 to 80 characters"):
        merged_tags({}, {"k" * 81: "v"})


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (None, None),
        ((), None),
        (tuple(f"f{n}" for n in range(50)), None),
        (tuple(f"f{n}" for n in range(51)), "A metadata schema may have at most 50 fields, and has 51"),
        (("$genre",), "Metadata field '$genre' must not be empty or start with '$' or '_'"),
        (("_genre",), "Metadata field '_genre' must not be empty or start with '$' or '_'"),
        (("",), "Metadata field '' must not be empty or start with '$' or '_'"),
    ],
)
def test_filterable_fields(names: tuple[str, ...] | None, text: str | None) -> None:
    assert refusal(lambda: check_filterable_fields(names)) == text


def test_every_known_region_is_accepted() -> None:
    for cloud, regions in SERVERLESS_REGIONS.items():
        for region in regions:
            assert complete_deployment(serverless(cloud, region)) == serverless(cloud, region)


@pytest.mark.parametrize(
    ("cloud", "region"), [("aws", "us-east1"), ("gcp", "us-east-1"), ("oci", "us-east-1"), ("", "")]
)
def test_an_unknown_region_is_not_found(cloud: str, region: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        complete_deployment(serverless(cloud, region))
    assert caught.value.message == f"Resource cloud: {cloud} region: {region} not found"


@pytest.mark.parametrize(
    ("options", "pods"),
    [({}, 1), ({"replicas": 2, "shards": 3}, 6), ({"replicas": 2, "pods": 2}, 2), ({"replicas": 2, "pods": 1}, 2)],
)
def test_pods_are_replicas_times_shards(options: dict[str, object], pods: int) -> None:
    assert complete_deployment(pod(**options)) == pod(**(options | {"pods": pods}))


@pytest.mark.parametrize(
    ("deployment", "text"),
    [
        (pod(environment=""), "environment must not be empty in a pod deployment"),
        (
            Deployment(kind="byoc", options={"environment": ""}),
            "environment must not be empty in a byoc deployment",
        ),
        (pod(pod_type="p1"), "pod_type must be one of s1, p1, p2 and one of .x1, .x2, .x4, .x8, and is 'p1'"),
        (pod(replicas=2, pods=3), "pods must equal replicas x shards = 2, and is 3"),
        (
            pod(replicas=0),
            "replicas and shards must be at least 1 and their product at most 2147483647, and they are 0 and 1",
        ),
        (
            pod(shards=2**31),
            "replicas and shards must be at least 1 and their product at most 2147483647, "
            "and they are 1 and 2147483648",
        ),
    ],
)
def test_deployments_that_break_a_rule(deployment: Deployment, text: str) -> None:
    assert refusal(lambda: complete_deployment(deployment)) == text


def test_a_byoc_deployment_is_kept_as_it_is() -> None:
    byoc = Deployment(kind="byoc", options={"environment": "aws-us-east-1-b921"})
    assert complete_deployment(byoc) == byoc


def test_configuring_pods_counts_them_again() -> None:
    before = pod(replicas=2, shards=2, pods=4)
    after = configured_deployment(before, ConfigureIndex(replicas=3, pod_type="s1.x8"))
    assert after == pod(replicas=3, shards=2, pods=6, pod_type="s1.x8")
    assert configured_deployment(before, ConfigureIndex()) is before


def test_only_pods_can_be_configured() -> None:
    request = ConfigureIndex(replicas=3, pod_type="s1.x8")
    expected = "pod_type and replicas cannot be set in a serverless deployment"
    assert refusal(lambda: configured_deployment(serverless(), request)) == expected


@pytest.mark.parametrize("value", ["1", "0.9", ".95"])
def test_a_tag_may_promise_a_recall(value):
    assert merged_tags({}, {TARGET_RECALL_TAG: value}) == {TARGET_RECALL_TAG: value}


def test_the_tag_of_a_recall_may_be_removed():
    assert merged_tags({TARGET_RECALL_TAG: "0.9"}, {TARGET_RECALL_TAG: ""}) == {}


@pytest.mark.parametrize("value", ["0", "1.1", "high", "nan", "97%"])
def test_a_tag_that_is_no_recall_is_refused(value):
    with pytest.raises(InvalidArgumentError) as caught:
        merged_tags({}, {TARGET_RECALL_TAG: value})
    assert caught.value.message == (
        f"The value of tag 'pinyon-target-recall' must be a number above 0 and at most 1, and is {value!r}"
    )
