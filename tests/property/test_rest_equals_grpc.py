"""REST and gRPC are two spellings of one API: the same requests get the same answers, with the same texts of errors.

A request is written once, as the JSON of its protobuf message. It goes to one index over REST and to its twin over
gRPC; what REST answers is then read as the JSON of the response message.
"""

from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.model.metric import Metric
from tests.codecs import Answer, Grpc, GrpcError, Rest, data_plane, response_type
from tests.grpc_stubs import messages

Call = tuple[str, dict[str, Any]]
"""A method of `VectorService` and its request in JSON."""

BODIES: Final = {
    "Upsert": "/vectors/upsert",
    "Query": "/query",
    "FetchByMetadata": "/vectors/fetch_by_metadata",
    "Update": "/vectors/update",
    "Delete": "/vectors/delete",
    "DescribeIndexStats": "/describe_index_stats",
    "CreateNamespace": "/namespaces",
}
PARAMETERS: Final = {"Fetch": "/vectors/fetch", "List": "/vectors/list", "ListNamespaces": "/namespaces"}
PATHS: Final = {"DescribeNamespace": "GET", "DeleteNamespace": "DELETE"}
LSN_HEADERS: Final = ("x-pinecone-request-lsn", "x-pinecone-max-indexed-lsn")
VERSIONS: Final = ("2025-04", "2026-07")


def send(rest: Rest, method: str, request: dict[str, Any]) -> Answer:
    if method in BODIES:
        return rest.post(BODIES[method], request)
    if method in PARAMETERS:
        return rest.get(f"{PARAMETERS[method]}?{urlencode(request, doseq=True)}")
    return rest.send(PATHS[method], f"/namespaces/{quote(request['namespace'], safe='')}")


def over_rest(rest: Rest, method: str, request: dict[str, Any]) -> Any:
    answer = send(rest, method, request)
    if answer.status != 200:
        return answer.body["code"], answer.message
    lsns = {name: answer.headers[name] for name in LSN_HEADERS if name in answer.headers}
    return ParseDict(answer.body, response_type(method)()), lsns


def over_grpc(grpc: Grpc, method: str, request: dict[str, Any]) -> Any:
    service = messages().DESCRIPTOR.services_by_name["VectorService"]
    request_type = getattr(messages(), service.methods_by_name[method].input_type.name)
    try:
        response, metadata = grpc.call(method, ParseDict(request, request_type()))
    except GrpcError as error:
        return error.code, error.message
    return response, {name: metadata[name] for name in LSN_HEADERS if name in metadata}


def without_sizes(result: Any, version: str) -> Any:
    """A result whose sizes do not matter: gRPC always sends `size_bytes`, REST to versions that know it."""
    if version == "2026-07" or not hasattr(result[0], "DESCRIPTOR"):
        return result
    for namespace in (
        getattr(result[0], "namespaces", []) if "total_count" in result[0].DESCRIPTOR.fields_by_name else []
    ):
        namespace.ClearField("size_bytes")
    if "size_bytes" in result[0].DESCRIPTOR.fields_by_name:
        result[0].ClearField("size_bytes")
    return result


def check(calls: list[Call], dimension: int | None, metric: Metric, version: str, *, texts: bool = True) -> None:
    rest, grpc = Rest(data_plane(dimension, metric), version), Grpc(data_plane(dimension, metric), version)
    for method, request in calls:
        first = without_sizes(over_rest(rest, method, request), version)
        second = without_sizes(over_grpc(grpc, method, request), version)
        if isinstance(first[0], int) and isinstance(second[0], int) and not texts:
            first, second = first[0], second[0]
        assert first == second, (method, request)


# A story that is read from top to bottom, and then chance.

FILMS: Final = [
    {"id": "a/1", "values": [1, 0], "metadata": {"genre": "drama", "year": 2020, "tags": ["x", ""], "ok": True}},
    {"id": "b", "values": [0.1, 2.5], "metadata": {}},
    {"id": "\x01 %é"[:3], "values": [-1, 1e-7], "sparseValues": {"indices": [4294967295, 0], "values": [0.1, 3e30]}},
]
STORY: Final[list[Call]] = [
    ("DescribeIndexStats", {}),
    ("Upsert", {"vectors": FILMS}),
    ("Upsert", {"vectors": FILMS[:2], "namespace": "a/b c"}),
    ("DescribeIndexStats", {"filter": {}}),
    ("Query", {"topK": 3, "vector": [1, 1], "includeValues": True, "includeMetadata": True}),
    ("Query", {"topK": 3, "vector": [0, 0], "filter": {"genre": "drama"}}),
    ("Query", {"topK": 1, "id": "b", "namespace": "a/b c"}),
    ("Query", {"topK": 1, "id": "unknown"}),
    ("Query", {"topK": 2, "vector": [1, 1], "sparseVector": {"indices": [0], "values": [2]}}),
    ("Query", {"topK": 2, "vector": [1, 1], "sparseVector": {"indices": [], "values": []}}),
    ("Query", {"topK": 2, "sparseVector": {"indices": [0], "values": [2]}}),
    ("Query", {"topK": 2, "vector": [1, 1], "sparseVector": {"indices": [0], "values": []}}),
    ("Query", {"topK": 2, "vector": [1, 1], "scanFactor": 2}),
    ("Query", {"topK": 2, "vector": [1, 1], "maxCandidates": 2}),
    ("Fetch", {"ids": ["a/1", "b", "b", "\x01 %"]}),
    ("Fetch", {"ids": ["a/1"], "namespace": "nowhere"}),
    ("FetchByMetadata", {"filter": {"year": {"$gte": 2020}}, "limit": 1}),
    ("List", {"prefix": "a/", "limit": 1}),
    ("List", {"limit": 2}),
    ("List", {"limit": 2, "paginationToken": "Yg=="}),
    ("Update", {"id": "b", "values": [3, 4], "setMetadata": {"year": 1.5}}),
    ("Update", {"filter": {"year": {"$gt": 0}}, "setMetadata": {"seen": []}, "dryRun": True}),
    ("Update", {"filter": {"year": {"$gt": 0}}, "setMetadata": {"seen": []}}),
    ("FetchByMetadata", {"filter": {"seen": {"$exists": True}}}),
    ("CreateNamespace", {"name": "new", "schema": {"fields": {"genre": {"filterable": True}}}}),
    ("CreateNamespace", {"name": "new"}),
    ("CreateNamespace", {"name": "plain", "schema": {"fields": {}}}),
    ("CreateNamespace", {"name": "odd", "schema": {"fields": {"genre": {"filterable": False}}}}),
    ("Query", {"topK": 1, "vector": [1, 1], "namespace": "new", "filter": {"year": 1}}),
    ("ListNamespaces", {"limit": 2}),
    ("ListNamespaces", {"prefix": "n"}),
    ("DescribeNamespace", {"namespace": "a/b c"}),
    ("DescribeNamespace", {"namespace": "nowhere"}),
    ("Delete", {"ids": ["b"], "namespace": "a/b c"}),
    ("Delete", {"filter": {"genre": {"$in": ["drama"]}}}),
    ("Delete", {"deleteAll": True, "namespace": "a/b c"}),
    ("Delete", {"deleteAll": True, "namespace": "nowhere"}),
    ("DeleteNamespace", {"namespace": "new"}),
    ("DeleteNamespace", {"namespace": "new"}),
    ("DescribeIndexStats", {}),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("metric", Metric)
def test_a_story_of_a_dense_index(metric, version):
    check(STORY, 2, metric, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_story_of_a_sparse_index(version):
    vectors = [
        {**film, "sparseValues": {"indices": [7, row], "values": [0.5, row + 1]}} for row, film in enumerate(FILMS)
    ]
    for vector in vectors:
        del vector["values"]
    check([*STORY, ("Upsert", {"vectors": vectors}), *STORY], None, Metric.DOTPRODUCT, version)


IDS = st.sampled_from(["a", "b", "c/1", "c/2", "\x01\x7f", "%2F", "", "é", "x" * 513])
NAMESPACES = st.sampled_from(["", "__default__", "n", "a/b c", "é", "x" * 513])
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VALUES = st.one_of(
    st.lists(FLOATS, min_size=2, max_size=2),
    st.lists(st.sampled_from([0.0, 1.0, -2.5, 1e-9]), max_size=3),
)
SPARSE = st.one_of(
    st.dictionaries(st.integers(0, 2**32 - 1) | st.integers(0, 3), FLOATS, max_size=4).map(
        lambda weights: {"indices": list(weights), "values": list(weights.values())}
    ),
    st.fixed_dictionaries({"indices": st.lists(st.integers(0, 3), max_size=3), "values": st.lists(FLOATS, max_size=3)}),
)
SCALARS = st.sampled_from(["x", "", "é", True, False, 0, 1, -2.5, 1e300, 2**53])
METADATA = st.dictionaries(
    st.sampled_from(["s", "n", "é", "", "_x", "$bad"]),
    SCALARS | st.lists(st.sampled_from(["x", "y", ""]), max_size=3) | st.just([1]) | st.just({"deep": [10, None]}),
    max_size=3,
)
CONDITIONS = st.fixed_dictionaries({}, optional={
    "$eq": SCALARS, "$ne": SCALARS, "$gt": SCALARS, "$lte": SCALARS, "$exists": st.booleans(),
    "$in": st.lists(SCALARS, max_size=2), "$nin": st.just(["x"]), "$like": st.just("x"),
})  # fmt: skip
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(["s", "n", "é"]), SCALARS | CONDITIONS | st.just(None), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=2), max_size=1),
    max_leaves=3,
)
LIMITS = st.sampled_from([1, 2, 100, 101])
TOKENS = st.sampled_from(["", "YQ==", "nonsense", "é"])
VECTORS = st.lists(
    st.fixed_dictionaries({"id": IDS}, optional={"values": VALUES, "sparseValues": SPARSE, "metadata": METADATA}),
    max_size=4,
)


def request(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


CALLS = st.one_of(
    st.tuples(st.just("Upsert"), st.fixed_dictionaries({"vectors": VECTORS, "namespace": NAMESPACES})),
    st.tuples(
        st.just("Upsert"),
        st.builds(
            lambda rows: {"vectors": [{"id": str(number), **row} for number, row in enumerate(rows)]},
            st.lists(
                st.fixed_dictionaries({"values": st.just([1.5, -1]), "metadata": METADATA}), min_size=12, max_size=14
            ),
        ),
    ),
    st.tuples(
        st.just("Query"),
        st.builds(
            lambda top_k, rest: {"topK": top_k, **rest},
            st.sampled_from([0, 1, 3, 10_001]),
            request(vector=VALUES, sparseVector=SPARSE, id=IDS, filter=FILTERS, namespace=NAMESPACES,
                    includeValues=st.booleans(), includeMetadata=st.booleans()),
        ),
    ),
    st.tuples(st.just("Fetch"), request(ids=st.lists(IDS, max_size=3), namespace=NAMESPACES)),
    st.tuples(st.just("FetchByMetadata"), request(filter=FILTERS, namespace=NAMESPACES, limit=LIMITS,
                                                  paginationToken=TOKENS)),
    st.tuples(st.just("Update"), request(id=IDS, values=VALUES, sparseValues=SPARSE, setMetadata=METADATA,
                                         filter=FILTERS, namespace=NAMESPACES, dryRun=st.booleans())),
    st.tuples(st.just("Delete"), request(ids=st.lists(IDS, max_size=3), filter=FILTERS, deleteAll=st.booleans(),
                                         namespace=NAMESPACES)),
    st.tuples(st.just("List"), request(prefix=IDS, limit=LIMITS, paginationToken=TOKENS, namespace=NAMESPACES)),
    st.tuples(st.just("DescribeIndexStats"), request(filter=FILTERS)),
    st.tuples(st.just("ListNamespaces"), request(prefix=NAMESPACES, limit=LIMITS, paginationToken=TOKENS)),
    st.tuples(st.just("CreateNamespace"), request(name=NAMESPACES)),
    st.tuples(st.sampled_from(["DescribeNamespace", "DeleteNamespace"]),
              st.fixed_dictionaries({"namespace": NAMESPACES.filter(bool)})),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(CALLS, min_size=1, max_size=12), st.sampled_from([2, None]), st.sampled_from(Metric))
def test_any_calls(calls, dimension, metric):
    # With several faults in one request, each codec may name another of them.
    check(calls, dimension, metric, "2026-07", texts=False)


BAD_METADATA: Final[list[Any]] = [
    {"$a": 1}, {"a": [1, "x", True, None]}, {"a": {"b": {"c": 10}}}, {"a": "x" * 41_000}, {"a": ["x", [2.5]]},
]  # fmt: skip
BAD_FILTERS: Final[list[Any]] = [
    {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {"$and": []}, {"$or": [{}]}, {"a": {"$in": "x"}}, {"a": {}},
    {"a": {"$in": [1, "x"]}}, {"a": {"$gt": "x"}}, {"a": {"$exists": 1}}, {"$like": 1}, {"$eq": 1},
    {"a": {"$like": {"b": [10, None, True]}}},
]  # fmt: skip
FAULTS: Final[list[Call]] = [
    ("Upsert", {"vectors": []}),
    ("Upsert", {"vectors": [{"id": "", "values": [1, 2]}]}),
    ("Upsert", {"vectors": [{"id": "é", "values": [1, 2]}]}),
    ("Upsert", {"vectors": [{"id": "a\0", "values": [1, 2]}]}),
    ("Upsert", {"vectors": [{"id": "x" * 513, "values": [1, 2]}]}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2, 3]}]}),
    ("Upsert", {"vectors": [{"id": "a"}]}),
    ("Upsert", {"vectors": [{"id": "a", "values": [0, 0]}]}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2]}], "namespace": "é"}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2]}], "namespace": "x" * 513}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2], "sparseValues": {"indices": [1, 1], "values": [1, 1]}}]}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2], "sparseValues": {"indices": [1], "values": [1, 1]}}]}),
    ("Upsert", {"vectors": [{"id": "a", "values": [1, 2], "sparseValues": {"indices": [1, 2]}}]}),
    *[("Upsert", {"vectors": [{"id": "a", "values": [1, 2], "metadata": metadata}]}) for metadata in BAD_METADATA],
    ("Upsert", {"vectors": [{"id": str(row), "values": [1, 2]} for row in range(1001)]}),
    *[("Query", {"topK": 1, "vector": [1, 1], "filter": filter_}) for filter_ in BAD_FILTERS],
    ("Query", {"topK": 0, "vector": [1, 1]}),
    ("Query", {"topK": 10_001, "vector": [1, 1]}),
    ("Query", {"topK": 1}),
    ("Query", {"topK": 1, "vector": [1]}),
    ("Query", {"topK": 1, "id": "a", "vector": [1, 1]}),
    ("Query", {"topK": 1, "id": "a", "sparseVector": {"indices": [1], "values": [1]}}),
    ("Query", {"topK": 1, "vector": [1, 1], "queries": [{"values": [1, 1]}]}),
    ("Fetch", {}),
    ("Fetch", {"ids": [str(number) for number in range(1001)]}),
    ("FetchByMetadata", {}),
    ("FetchByMetadata", {"filter": {"a": 1}, "limit": 10_001}),
    ("FetchByMetadata", {"filter": {"a": 1}, "paginationToken": "?"}),
    ("Update", {}),
    ("Update", {"id": "a", "setMetadata": {"a": [1]}}),
    ("Update", {"filter": {}}),
    ("Update", {"filter": {"a": 1}, "values": [1, 1]}),
    ("Delete", {}),
    ("Delete", {"filter": {}}),
    ("Delete", {"deleteAll": True, "ids": ["a"]}),
    ("Delete", {"deleteAll": True, "filter": {"a": 1}}),
    ("Delete", {"ids": ["a"], "namespace": "nowhere"}),
    ("List", {"limit": 101}),
    ("DescribeIndexStats", {"filter": {"a": 1}}),
    ("CreateNamespace", {}),
    ("DescribeNamespace", {"namespace": "é"}),
]  # fmt: skip


@pytest.mark.parametrize("call", FAULTS, ids=lambda call: f"{call[0]} {call[1]}"[:70])
def test_one_fault_has_one_text(call):
    rest, grpc = Rest(data_plane()), Grpc(data_plane())
    code, text = over_rest(rest, *call)
    assert (code, text) == over_grpc(grpc, *call)
    assert text


def test_the_comparison_can_fail():
    rest, grpc = Rest(data_plane()), Grpc(data_plane())
    upsert = ("Upsert", {"vectors": [{"id": "a", "values": [1, 2]}]})
    over_rest(rest, *upsert)
    assert over_rest(rest, "List", {}) != over_grpc(grpc, "List", {})
    assert MessageToDict(over_rest(rest, "List", {})[0])["vectors"] == [{"id": "a"}]
