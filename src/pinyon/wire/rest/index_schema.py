"""The schema of a create request of 2026-07, and the vectors of the classic index that it stands for.

A schema made only of `_values` and `_sparse_values` is a classic index. Any other field makes an index of documents,
which Pinyon does not have: such a schema is checked all the same, so that a wrong one gets its true reason, and only
a right one is answered with "not supported".
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pinyon.errors import InvalidArgumentError, UnimplementedError
from pinyon.model.metric import Metric, VectorType
from pinyon.wire.rest.typed_body import Body, convert_part, shape_error

DENSE_NAME: Final = "_values"
SPARSE_NAME: Final = "_sparse_values"

_RESERVED: Final = frozenset({DENSE_NAME, SPARSE_NAME})
_METADATA_TYPES: Final = ("boolean", "float", "integer", "string_list")  # no set: what is looked up may be a list
_NAME_BYTES_MAX: Final = 64
_DESCRIPTION_BYTES_MAX: Final = 256
_FULL_TEXT_FIELDS_MAX: Final = 100
_GRAM_MAX: Final = 10


class DenseVectorField(Body, tag_field="type", tag="dense_vector"):
    """A dense vector."""

    dimension: int
    metric: Metric | None = None
    description: str | None = None


class SparseVectorField(Body, tag_field="type", tag="sparse_vector"):
    """A sparse vector; its metric is always dotproduct and cannot be given."""

    description: str | None = None


class Ngram(Body):
    """How a text is cut into n-grams."""

    min_gram: int
    max_gram: int
    prefix_only: bool = False


class FullTextSearch(Body):
    """How a text is searched."""

    language: str = "en"
    stemming: bool = False
    stop_words: bool = False
    ngram: Ngram | None = None


class Embed(Body):
    """A model that turns text into dense vectors."""

    model: str = "llama-text-embed-v2"
    dimension: int | None = None
    metric: Metric | None = None
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


class SparseEmbed(Body):
    """A model that turns text into sparse vectors."""

    model: str = "pinecone-sparse-english-v0"
    read_parameters: dict[str, Any] | None = None
    write_parameters: dict[str, Any] | None = None


class StringField(Body, tag_field="type", tag="string"):
    """A text that is searched, embedded, or both."""

    full_text_search: FullTextSearch | None = None
    embed: Embed | None = None
    sparse_embed: SparseEmbed | None = None
    store_text: bool | None = None
    description: str | None = None


Field: TypeAlias = DenseVectorField | SparseVectorField | StringField


@dataclass(frozen=True, slots=True)
class ClassicVectors:
    """What a classic index holds, as the service takes it."""

    vector_type: VectorType
    dimension: int | None = None
    metric: Metric | None = None


def classic_vectors(raw_fields: dict[str, dict[str, Any]]) -> ClassicVectors:
    """The vectors of the classic index that a schema stands for.

    Args:
        raw_fields: `schema.fields` of the body, by field name.

    Raises:
        UnprocessableError: a field does not have the shape of its type.
        InvalidArgumentError: a field, or the schema as a whole, breaks a rule.
        UnimplementedError: it is a schema of documents.
    """
    if not raw_fields:
        raise InvalidArgumentError(
            "Schema must contain at least one of the following field types: "
            "dense_vector, sparse_vector, string with full_text_search"
        )
    fields = {name: _field(name, raw) for name, raw in raw_fields.items()}
    _check_whole(fields)
    if not fields.keys() <= _RESERVED:
        raise UnimplementedError("Indexes with a document schema are not supported yet")
    return _classic(fields)


def _field(name: str, raw: dict[str, Any]) -> Field:
    _check_name(name)
    if "filterable" in raw or raw.get("type") in _METADATA_TYPES:
        raise InvalidArgumentError(
            f"Schema field {name!r} is metadata. Schema only accepts fields used for search; "
            "metadata is indexed for filtering without being declared"
        )
    field: Field = convert_part(raw, Field, f"schema.fields.{name}")
    if field.description is not None and len(field.description.encode()) > _DESCRIPTION_BYTES_MAX:
        raise InvalidArgumentError(f"The description of field {name!r} is over {_DESCRIPTION_BYTES_MAX} bytes")
    if isinstance(field, StringField):
        _check_string(name, field)
    return field


def _check_name(name: str) -> None:
    if not 1 <= len(name.encode()) <= _NAME_BYTES_MAX or name.startswith("$"):
        raise InvalidArgumentError(
            f"Field name {name!r} must be 1 to {_NAME_BYTES_MAX} bytes long and must not start with '$'"
        )
    if name.startswith("_") and name not in _RESERVED:
        raise InvalidArgumentError(f"Field name {name!r} is reserved: names starting with '_' cannot be declared")


def _check_string(name: str, field: StringField) -> None:
    embeds = field.embed is not None or field.sparse_embed is not None
    if field.full_text_search is None and not embeds:
        raise shape_error("missing field `full_text_search`", f"schema.fields.{name}")
    if field.store_text is False and (field.full_text_search is not None or not embeds):
        raise InvalidArgumentError(
            f"Field {name!r}: store_text: false needs embed or sparse_embed, and excludes full_text_search"
        )
    if field.full_text_search is not None:
        _check_full_text(name, field.full_text_search)


def _check_full_text(name: str, search: FullTextSearch) -> None:
    if search.stop_words and not search.stemming:
        raise InvalidArgumentError(f"Field {name!r}: stop_words requires stemming")
    if search.ngram is None:
        return
    if search.stemming or search.stop_words:
        raise InvalidArgumentError(f"Field {name!r}: ngram excludes stemming and stop_words")
    if not 1 <= search.ngram.min_gram <= search.ngram.max_gram <= _GRAM_MAX:
        raise InvalidArgumentError(f"Field {name!r}: ngram needs 1 <= min_gram <= max_gram <= {_GRAM_MAX}")


def _check_whole(fields: dict[str, Field]) -> None:
    """Rules about several fields at once."""
    if fields.keys() & _RESERVED and not fields.keys() <= _RESERVED:
        raise InvalidArgumentError("Reserved fields _values and _sparse_values cannot be combined with other fields")
    texts = [field for field in fields.values() if isinstance(field, StringField)]
    dense = _count(fields, DenseVectorField) + sum(text.embed is not None for text in texts)
    sparse = _count(fields, SparseVectorField) + sum(text.sparse_embed is not None for text in texts)
    if dense > 1 or sparse > 1:
        raise InvalidArgumentError("Schema may have at most one dense and one sparse vector, counting embedded ones")
    if sum(text.full_text_search is not None for text in texts) > _FULL_TEXT_FIELDS_MAX:
        raise InvalidArgumentError(f"Schema may have at most {_FULL_TEXT_FIELDS_MAX} fields with full_text_search")


def _count(fields: dict[str, Field], kind: type[Field]) -> int:
    return sum(isinstance(field, kind) for field in fields.values())


def _classic(fields: dict[str, Field]) -> ClassicVectors:
    dense, sparse = fields.get(DENSE_NAME), fields.get(SPARSE_NAME)
    if not isinstance(dense, DenseVectorField | None):
        raise InvalidArgumentError(f"Reserved field {DENSE_NAME} must be of type dense_vector")
    if not isinstance(sparse, SparseVectorField | None):
        raise InvalidArgumentError(f"Reserved field {SPARSE_NAME} must be of type sparse_vector")
    if any(field.description is not None for field in fields.values()):
        raise InvalidArgumentError("Reserved fields do not accept a description")
    if dense is None:
        return ClassicVectors(VectorType.SPARSE)
    return ClassicVectors(VectorType.DENSE, dense.dimension, dense.metric)
