"""How two vectors are compared."""

from enum import StrEnum


class Metric(StrEnum):
    """Pinecone's metrics. A score's direction belongs to the metric: see `higher_is_better`."""

    COSINE = "cosine"
    DOTPRODUCT = "dotproduct"
    EUCLIDEAN = "euclidean"

    @property
    def higher_is_better(self) -> bool:
        """True where a larger score means more similar. Euclidean scores are squared distances: smaller is better."""
        return self is not Metric.EUCLIDEAN


class VectorType(StrEnum):
    """What the records of an index carry."""

    DENSE = "dense"
    SPARSE = "sparse"
