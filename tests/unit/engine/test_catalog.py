"""The catalog keeps definitions durably, and says so when its file is damaged."""

import msgspec
import pytest
from crc32c import crc32c

from pinyon.engine.catalog import CATALOG_PATH, Catalog
from pinyon.errors import AlreadyExistsError, DataLossError, NotFoundError, UnavailableError
from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.storage.memory import MemoryStorage


class FullDisk(MemoryStorage):
    """A storage that refuses to replace a file while it is full."""

    full = False

    def replace(self, path: str, content: bytes) -> None:
        if self.full:
            raise UnavailableError("the disk is full")
        super().replace(path, content)


def dense(name: str, dimension: int = 3) -> IndexDefinition:
    return IndexDefinition(
        name=name,
        index_id=f"id-of-{name}",
        vector_type=VectorType.DENSE,
        dimension=dimension,
        metric=Metric.EUCLIDEAN,
        port=5081,
        deployment=Deployment(kind="serverless", options={"cloud": "aws", "region": "us-east-1"}),
        deletion_protection=True,
        tags={"team": "search"},
        filterable_fields=("genre",),
        created_at_s=1.5,
    )


def sparse(name: str) -> IndexDefinition:
    return IndexDefinition(
        name=name,
        index_id=f"id-of-{name}",
        vector_type=VectorType.SPARSE,
        dimension=None,
        metric=Metric.DOTPRODUCT,
        port=5082,
        deployment=Deployment(
            kind="pod", options={"environment": "e", "pod_type": "p1.x1", "replicas": 2, "shards": 1, "pods": 2}
        ),
    )


def test_a_directory_without_a_catalog_has_no_indexes() -> None:
    assert Catalog(MemoryStorage()).definitions() == []


def test_definitions_survive_a_restart_in_the_order_of_their_creation() -> None:
    storage = MemoryStorage()
    catalog = Catalog(storage)
    catalog.add(dense("b"))
    catalog.add(sparse("a"))
    catalog.change(dense("b", dimension=7))
    for seen in (catalog, Catalog(storage)):
        assert seen.definitions() == [dense("b", dimension=7), sparse("a")]
        assert seen.get("a") == sparse("a")


def with_text(name: str, served_by: str) -> IndexDefinition:
    embed = Embed(
        model="llama-text-embed-v2",
        text_field="böðy",
        read_parameters={"input_type": "query", "dimension": 384, "return_tokens": False, "weight": 1.0},
        write_parameters={},
        fingerprint="sha256:0123",
        served_by=served_by,
    )
    return msgspec.structs.replace(dense(name), embed=embed)


def test_how_text_is_embedded_survives_a_restart() -> None:
    storage = MemoryStorage()
    for name, served_by in (("a", ""), ("b", "all-MiniLM-L6-v2")):
        Catalog(storage).add(with_text(name, served_by))
    definitions = Catalog(storage).definitions()
    assert definitions == [with_text("a", ""), with_text("b", "all-MiniLM-L6-v2")]
    assert definitions[0].embed is not None
    assert [type(value) for value in definitions[0].embed.read_parameters.values()] == [str, int, bool, float]


def test_a_catalog_from_before_there_were_texts_opens() -> None:
    """The bytes that were written then. An index without text is still written like this."""
    indexes = (
        b'[{"name":"a","index_id":"id-of-a","vector_type":"dense","dimension":3,"metric":"euclidean","port":5081,'
        b'"deployment":{"kind":"serverless","options":{"cloud":"aws","region":"us-east-1"}},"deletion_protection":true,'
        b'"tags":{"team":"search"},"filterable_fields":["genre"],"created_at_s":1.5}]'
    )
    content = b'{"format_version":1,"crc32c":%d,"indexes":%s}' % (crc32c(indexes), indexes)
    storage = MemoryStorage()
    storage.replace(CATALOG_PATH, content)
    catalog = Catalog(storage)
    assert catalog.definitions() == [dense("a")]
    catalog.change(dense("a"))
    assert bytes(storage.read(CATALOG_PATH)) == content


def test_a_removed_index_is_gone_after_a_restart() -> None:
    storage = MemoryStorage()
    catalog = Catalog(storage)
    catalog.add(dense("a"))
    assert catalog.remove("a") == dense("a")
    assert catalog.definitions() == Catalog(storage).definitions() == []


def test_a_name_is_given_once() -> None:
    catalog = Catalog(MemoryStorage())
    catalog.add(dense("a"))
    with pytest.raises(AlreadyExistsError, match=r"^Resource already exists$"):
        catalog.add(sparse("a"))
    assert catalog.definitions() == [dense("a")]


def test_an_unknown_name_is_not_found() -> None:
    catalog = Catalog(MemoryStorage())
    for call in (catalog.get, catalog.remove, lambda name: catalog.change(dense(name))):
        with pytest.raises(NotFoundError, match=r"^Resource a not found$"):
            call("a")


def test_a_change_that_is_not_durable_is_not_seen() -> None:
    storage = FullDisk()
    catalog = Catalog(storage)
    catalog.add(dense("a"))
    storage.full = True
    with pytest.raises(UnavailableError):
        catalog.add(dense("b"))
    with pytest.raises(UnavailableError):
        catalog.remove("a")
    assert catalog.definitions() == Catalog(storage).definitions() == [dense("a")]


def test_a_list_once_given_never_changes() -> None:
    catalog = Catalog(MemoryStorage())
    before = catalog.definitions()
    catalog.add(dense("a"))
    assert before == []


def test_a_flip_of_any_bit_is_noticed() -> None:
    storage = MemoryStorage()
    Catalog(storage).add(dense("a"))
    content = bytes(storage.read(CATALOG_PATH))
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        storage.replace(CATALOG_PATH, bytes(flipped))
        with pytest.raises(DataLossError, match=r"catalog\.json"):
            Catalog(storage)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"indexes":[]}', b'{"a":' * 100_000],
    ids=["empty", "torn", "list", "null", "not text", "no version", "deep"],
)
def test_what_is_no_catalog_is_refused_by_name(content: bytes) -> None:
    storage = MemoryStorage()
    storage.replace(CATALOG_PATH, content)
    with pytest.raises(DataLossError, match=r"catalog\.json cannot be used: it is not a catalog"):
        Catalog(storage)


def test_another_format_version_is_refused_whatever_else_the_file_holds() -> None:
    storage = MemoryStorage()
    storage.replace(CATALOG_PATH, msgspec.json.encode({"format_version": 2, "tables": []}))
    with pytest.raises(DataLossError, match=r"catalog\.json .*format version is 2, and this Pinyon reads 1"):
        Catalog(storage)
