"""Applying operations to namespaces: when they begin, when they end, and what a patch leaves."""

import numpy as np
import pytest

from pinyon.engine.namespace import locate
from pinyon.engine.namespaces import Namespaces
from pinyon.engine.operations import CreateNamespace, DeleteNamespace, DeleteRecords, PatchRecords, UpsertRecords
from pinyon.engine.places import record_at
from pinyon.model.record import RecordBatch
from pinyon.segment.manifest import Manifest, NamespaceEntry
from pinyon.testing.engine_model import PlainRecord, batch, plain_record

WHOLE = PlainRecord((1, 2), {3: 4.0}, {"genre": "drama", "year": 2020.0})


def found(namespaces: Namespaces, name: str, id_: str) -> PlainRecord:
    namespace = namespaces.by_name[name]
    (place,) = locate(namespace.memtables, namespace.parts, [id_])
    return plain_record(record_at(place))


def with_one_record() -> Namespaces:
    namespaces = Namespaces(2)
    namespaces.apply(UpsertRecords("n", batch({"a": WHOLE})), 1)
    return namespaces


def test_a_namespace_ends_with_its_last_record_and_its_name_is_remembered() -> None:
    namespaces = with_one_record()
    namespaces.apply(UpsertRecords("n", batch({"b": WHOLE})), 2)
    namespaces.apply(DeleteRecords("n", ["a", "x"]), 3)
    assert (list(namespaces.by_name), namespaces.emptied) == (["n"], {})
    namespaces.apply(DeleteRecords("n", ["b"]), 4)
    assert (namespaces.by_name, list(namespaces.emptied), namespaces.memory_bytes) == ({}, ["n"], 0)
    assert namespaces.entries() == (NamespaceEntry("n"),)
    namespaces.apply(DeleteRecords("n", ["b"]), 5)
    assert list(namespaces.emptied) == ["n"]


def test_a_name_is_forgotten_when_the_namespace_begins_again_or_is_deleted_as_a_whole() -> None:
    for operation in (
        UpsertRecords("n", batch({"b": WHOLE})),
        CreateNamespace("n", None),
        DeleteNamespace("n"),
        DeleteNamespace("n", keep_declared=True),
    ):
        namespaces = with_one_record()
        namespaces.apply(DeleteRecords("n", ["a"]), 2)
        namespaces.apply(operation, 3)
        assert namespaces.emptied == {}


def test_a_declared_namespace_stays_when_it_is_empty() -> None:
    namespaces = with_one_record()
    namespaces.apply(CreateNamespace("n", ("genre",)), 2)
    namespaces.apply(DeleteRecords("n", ["a"]), 3)
    assert (namespaces.by_name["n"].record_count, namespaces.emptied) == (0, {})
    assert namespaces.entries() == (NamespaceEntry("n", True, ("genre",)),)


def test_only_the_latest_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinyon.engine.namespaces._EMPTIED_MAX", 2)
    namespaces = Namespaces(2)
    for number, name in enumerate("abca"):
        namespaces.apply(UpsertRecords(name, batch({"x": WHOLE})), 2 * number + 1)
        namespaces.apply(DeleteRecords(name, ["x"]), 2 * number + 2)
    assert list(namespaces.emptied) == ["c", "a"]
    again = Namespaces(2)
    again.restore(Manifest(8, 1, (), namespaces.entries()), ())
    assert (again.by_name, list(again.emptied)) == ({}, ["c", "a"])


def test_writes_to_an_unknown_namespace_change_nothing() -> None:
    namespaces = Namespaces(2)
    namespaces.apply(DeleteRecords("n", ["a"]), 1)
    namespaces.apply(PatchRecords("n", batch({"a": WHOLE})), 2)
    namespaces.apply(DeleteNamespace("n"), 3)
    namespaces.apply(DeleteNamespace("n", keep_declared=True), 4)
    assert namespaces.by_name == {}


def test_declaring_an_existing_namespace_keeps_its_records() -> None:
    namespaces = with_one_record()
    namespaces.apply(CreateNamespace("n", ("genre",)), 2)
    assert found(namespaces, "n", "a") == WHOLE
    assert namespaces.by_name["n"].filterable_fields == ("genre",)


def test_deleting_all_records_keeps_a_declared_namespace_and_its_fields() -> None:
    namespaces = with_one_record()
    namespaces.apply(CreateNamespace("n", ("genre",)), 2)
    namespaces.apply(DeleteNamespace("n", keep_declared=True), 3)
    kept = namespaces.by_name["n"]
    assert (kept.record_count, kept.declared, kept.filterable_fields) == (0, True, ("genre",))
    namespaces.apply(DeleteNamespace("n"), 4)
    assert namespaces.by_name == {}


def test_a_patch_replaces_what_it_names() -> None:
    for change, expected in (
        (PlainRecord((5, 6)), PlainRecord((5, 6), WHOLE.sparse, WHOLE.metadata)),
        (PlainRecord(None, {8: 1.0}), PlainRecord(WHOLE.dense, {8: 1.0}, WHOLE.metadata)),
        (
            PlainRecord(None, {}, {"year": 2021.0, "ok": True}),
            PlainRecord(WHOLE.dense, WHOLE.sparse, {"genre": "drama", "year": 2021.0, "ok": True}),
        ),
        (PlainRecord(), WHOLE),
    ):
        namespaces = with_one_record()
        namespaces.apply(PatchRecords("n", batch({"a": change, "unknown": change})), 2)
        assert found(namespaces, "n", "a") == expected
        assert namespaces.by_name["n"].record_count == 1


def test_a_patch_gives_metadata_to_a_record_without() -> None:
    namespaces = Namespaces(2)
    namespaces.apply(UpsertRecords("n", RecordBatch(["a"], np.ones((1, 2), np.float32), None, None)), 1)
    namespaces.apply(PatchRecords("n", batch({"a": PlainRecord(None, {1: 1.0}, {"k": "v"})})), 2)
    assert found(namespaces, "n", "a") == PlainRecord((1, 1), {1: 1.0}, {"k": "v"})
