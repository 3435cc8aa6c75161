"""The models whose names are known: Pinecone's, and those that Pinyon brings along.

Numbers and parameters of Pinecone's models are those of its documentation ("Hosted models") and of `GET /models`. A
name that stands here is served only where a backend was chosen for it; see `pinyon.inference.registry`.
"""

from typing import Final

from pinyon.inference.info import ModelInfo, ModelKind, Parameter, ParameterKind, ParameterValue, ValueType
from pinyon.model.metric import Metric, VectorType

EMBED_BATCH_MAX: Final = 96
"""Texts of one embed request or text upsert, for every model [docs, "Embedding models"]."""

_RERANK_BATCH_MAX: Final = 100
"""Documents of one rerank request [docs, "Reranking models"]."""

MINILM: Final = "all-MiniLM-L6-v2"
BM25: Final = "bm25-english"
MAXSIM: Final = "maxsim-MiniLM-L6-v2"


def _one_of(
    name: str, *values: ParameterValue, default: ParameterValue | None = None, required: bool = False
) -> Parameter:
    types = {str: ValueType.STRING, int: ValueType.INTEGER, bool: ValueType.BOOLEAN}
    return Parameter(
        name=name,
        kind=ParameterKind.ONE_OF,
        value_type=types[type(values[0])],
        required=required,
        allowed_values=values,
        default=default,
    )


_INPUT_TYPE = _one_of("input_type", "query", "passage", required=True)
_TRUNCATE_END = _one_of("truncate", "END", "NONE", default="END")
_TRUNCATE_NONE = _one_of("truncate", "END", "NONE", default="NONE")
_TRUNCATE_START_TOO = _one_of("truncate", "END", "NONE", "START", default="END")
_MAX_TOKENS = _one_of("max_tokens_per_sequence", 512, 2048, default=512)
_RETURN_TOKENS = Parameter(name="return_tokens", kind=ParameterKind.ANY, value_type=ValueType.BOOLEAN, default=False)
_MAX_CHUNKS = Parameter(
    name="max_chunks_per_doc",
    kind=ParameterKind.NUMERIC_RANGE,
    value_type=ValueType.INTEGER,
    minimum=1,
    maximum=3072,
    default=3072,
)


def dense_info(
    name: str,
    description: str,
    provider: str,
    *parameters: Parameter,
    max_tokens: int,
    dimension: int | None,
    dimensions: tuple[int, ...] = (),
    metrics: tuple[Metric, ...] = (Metric.COSINE, Metric.DOTPRODUCT, Metric.EUCLIDEAN),
) -> ModelInfo:
    """A dense model; without `dimensions`, its only one is `dimension`."""
    known = () if dimension is None else (dimension,)
    return ModelInfo(
        name=name,
        description=description,
        kind=ModelKind.EMBED,
        provider=provider,
        vector_type=VectorType.DENSE,
        default_dimension=dimension,
        supported_dimensions=dimensions or known,
        supported_metrics=metrics,
        max_tokens=max_tokens,
        max_batch=EMBED_BATCH_MAX,
        parameters=(_INPUT_TYPE, *(parameters or (_TRUNCATE_END,))),
    )


def _sparse_info(name: str, description: str, provider: str) -> ModelInfo:
    return ModelInfo(
        name=name,
        description=description,
        kind=ModelKind.EMBED,
        provider=provider,
        vector_type=VectorType.SPARSE,
        supported_metrics=(Metric.DOTPRODUCT,),
        max_tokens=512,
        max_batch=EMBED_BATCH_MAX,
        parameters=(_INPUT_TYPE, _TRUNCATE_END, _MAX_TOKENS, _RETURN_TOKENS),
    )


def rerank_info(
    name: str,
    description: str,
    provider: str,
    *parameters: Parameter,
    max_tokens: int,
    max_batch: int = _RERANK_BATCH_MAX,
    rank_fields_max: int = 1,
) -> ModelInfo:
    """A reranking model; `max_tokens` is that of a query and a document together."""
    return ModelInfo(
        name=name,
        description=description,
        kind=ModelKind.RERANK,
        provider=provider,
        max_tokens=max_tokens,
        max_batch=max_batch,
        rank_fields_max=rank_fields_max,
        parameters=parameters or (_TRUNCATE_END,),
    )


OWN_MODELS: Final = (
    dense_info(
        MINILM,
        "Sentence embeddings of short English texts: all-MiniLM-L6-v2 in 8 bits, which runs offline",
        "sentence-transformers",
        max_tokens=256,
        dimension=384,
    ),
    _sparse_info(BM25, "BM25 weights of English words, hashed as pinecone-text hashes them", "Pinyon"),
    rerank_info(
        MAXSIM,
        "Reranks by all-MiniLM-L6-v2: how similar the texts are as a whole, and word by word",
        "Pinyon",
        max_tokens=1024,
    ),
)
"""Served whenever their packages are installed."""

PINECONE_MODELS: Final = (
    dense_info(
        "llama-text-embed-v2",
        "A high performance dense embedding model optimized for multilingual and cross-lingual text question-answering "
        "retrieval with support for long documents (up to 2048 tokens) and dynamic embedding size (Matryoshka "
        "Embeddings).",
        "NVIDIA",
        _TRUNCATE_START_TOO,
        _one_of("dimension", 384, 512, 768, 1024, 2048, default=1024),
        max_tokens=2048,
        dimension=1024,
        dimensions=(384, 512, 768, 1024, 2048),
        metrics=(Metric.COSINE, Metric.DOTPRODUCT),
    ),
    dense_info(
        "multilingual-e5-large",
        "A high-performance dense embedding model trained on a mixture of multilingual datasets. It works well on "
        "messy data and short queries expected to return medium-length passages of text (1-2 paragraphs)",
        "Microsoft",
        max_tokens=507,
        dimension=1024,
        metrics=(Metric.COSINE, Metric.EUCLIDEAN),
    ),
    _sparse_info(
        "pinecone-sparse-english-v0",
        "A sparse embedding model for converting text to sparse vectors for keyword or hybrid semantic/keyword search. "
        "Built on the innovations of the DeepImpact architecture.",
        "Pinecone",
    ),
    rerank_info(
        "bge-reranker-v2-m3",
        "A high-performance, multilingual reranking model that works well on messy data and short queries expected to "
        "return medium-length passages of text (1-2 paragraphs)",
        "BAAI",
        _TRUNCATE_NONE,
        max_tokens=1024,
    ),
    rerank_info(
        "cohere-rerank-3.5",
        "Cohere's leading reranking model, balancing performance and latency for a wide range of enterprise search "
        "applications.",
        "Cohere",
        _MAX_CHUNKS,
        max_tokens=40_000,
        max_batch=200,
        rank_fields_max=8,
    ),
    rerank_info(
        "pinecone-rerank-v0",
        "A state of the art reranking model that out-performs competitors on widely accepted benchmarks. It can handle "
        "chunks up to 512 tokens (1-2 paragraphs)",
        "Pinecone",
        max_tokens=512,
    ),
)
"""Names that Pinecone hosts, as it describes them, in its order."""
