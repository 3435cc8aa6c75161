"""Models as the control plane sees them, without weights."""

from collections.abc import Callable
from dataclasses import dataclass

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.inference.info import ModelInfo, ModelKind, Parameter, ParameterKind, ParameterValue, ValueType
from pinyon.model.metric import Metric, VectorType


def one_of(name: str, *values: ParameterValue, default: ParameterValue | None = None) -> Parameter:
    """A parameter with a choice of values."""
    return Parameter(
        name=name,
        kind=ParameterKind.ONE_OF,
        value_type=ValueType.INTEGER if isinstance(values[0], int) else ValueType.STRING,
        required=default is None,
        allowed_values=values,
        default=default,
    )


INPUT_TYPE = one_of("input_type", "query", "passage")
TRUNCATE = one_of("truncate", "END", "NONE", default="END")
RETURN_TOKENS = Parameter(name="return_tokens", kind=ParameterKind.ANY, value_type=ValueType.BOOLEAN, default=False)

E5 = ModelInfo(
    name="multilingual-e5-large",
    description="One dimension.",
    kind=ModelKind.EMBED,
    provider="Microsoft",
    vector_type=VectorType.DENSE,
    default_dimension=1024,
    supported_dimensions=(1024,),
    supported_metrics=(Metric.COSINE, Metric.EUCLIDEAN),
    max_tokens=507,
    max_batch=96,
    parameters=(INPUT_TYPE, TRUNCATE),
)
LLAMA = ModelInfo(
    name="llama-text-embed-v2",
    description="Several dimensions.",
    kind=ModelKind.EMBED,
    provider="NVIDIA",
    vector_type=VectorType.DENSE,
    default_dimension=1024,
    supported_dimensions=(384, 1024),
    supported_metrics=(Metric.COSINE, Metric.DOTPRODUCT),
    max_tokens=2048,
    max_batch=96,
    parameters=(INPUT_TYPE, TRUNCATE, one_of("dimension", 384, 1024, default=1024)),
)
WORDS = ModelInfo(
    name="pinecone-sparse-english-v0",
    description="Sparse.",
    kind=ModelKind.EMBED,
    provider="Pinecone",
    vector_type=VectorType.SPARSE,
    supported_metrics=(Metric.DOTPRODUCT,),
    max_tokens=512,
    max_batch=96,
    parameters=(INPUT_TYPE, TRUNCATE, RETURN_TOKENS),
)
RERANKER = "bge-reranker-v2-m3"


@dataclass
class FakeModel:
    """Keeps `pinyon.service.control_plane.EmbeddingModel`; `load` runs whenever it must be loaded."""

    info: ModelInfo
    load: Callable[[], None]
    served_by: str = ""
    weights: str = "weights-1"

    @property
    def fingerprint(self) -> str:
        self.load()
        return self.weights


class FakeModels:
    """Keeps `pinyon.service.control_plane.Models`. Tests may replace `load` and the models themselves."""

    def __init__(self) -> None:
        self.load: Callable[[], None] = lambda: None
        self.by_name = {info.name: FakeModel(info, lambda: self.load()) for info in (E5, LLAMA, WORDS)}

    def embedder(self, name: str) -> FakeModel:
        if name == RERANKER:
            raise InvalidArgumentError(f"Model {name} does not support embedding")
        if name not in self.by_name:
            raise NotFoundError(f"Model {name} not found. Supported models: {', '.join(self.by_name)}")
        return self.by_name[name]
