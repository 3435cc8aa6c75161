"""What is told about a model: its name, what it takes and what it gives. The content of Pinecone's `GET /models`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from pinyon.model.metric import Metric, VectorType

ParameterValue: TypeAlias = str | int | float | bool


class ModelKind(StrEnum):
    """What a model does, in Pinecone's words."""

    EMBED = "embed"
    RERANK = "rerank"


class ParameterKind(StrEnum):
    """How the values of a parameter are bounded."""

    ONE_OF = "one_of"
    NUMERIC_RANGE = "numeric_range"
    ANY = "any"


class ValueType(StrEnum):
    """The type of a parameter's values."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that callers may give.

    Attributes:
        name: as in requests.
        kind: how its values are bounded.
        value_type: of each value.
        required: True if a request without it is refused.
        allowed_values: for `ONE_OF`.
        minimum: for `NUMERIC_RANGE`.
        maximum: for `NUMERIC_RANGE`.
        default: what counts when it is not given; None for nothing.
    """

    name: str
    kind: ParameterKind
    value_type: ValueType
    required: bool = False
    allowed_values: tuple[ParameterValue, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default: ParameterValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model, as this server serves it.

    Attributes:
        name: what requests call it.
        description: one line; a stand-in says here what it is and what it is not.
        kind: embed or rerank.
        vector_type: None for a model that reranks.
        default_dimension: of dense vectors; None for others.
        supported_dimensions: all that a request may ask for; empty for models without dense vectors.
        supported_metrics: of indexes that hold its vectors; the first is the default.
        max_tokens: of one text; more are cut off or refused.
        max_batch: texts or documents of one request.
        provider: who made it.
        rank_fields_max: fields of a document that a reranking request may name.
        parameters: what requests may set.
    """

    name: str
    description: str
    kind: ModelKind
    provider: str
    vector_type: VectorType | None = None
    default_dimension: int | None = None
    supported_dimensions: tuple[int, ...] = ()
    supported_metrics: tuple[Metric, ...] = ()
    max_tokens: int
    max_batch: int
    rank_fields_max: int = 0
    parameters: tuple[Parameter, ...] = ()


MODALITY: Final = "text"
"""Of every model."""
