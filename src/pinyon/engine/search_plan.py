"""What a query asks of the engine."""

from dataclasses import dataclass

from pinyon.filter.ast import Filter
from pinyon.model.metric import Metric
from pinyon.model.recall import TARGET_RECALL
from pinyon.model.record import Float32s, SparseVector, UInt32s


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What to look for. At least one of `dense` and `sparse` is given; `dense` has the index's dimension.

    With only `sparse`, rows that share no index with it are not results. With both, a row's score is the sum.
    Rows whose sparse vector lacks one of `required_indices` are not results. Where dense vectors are searched
    approximately, `target_recall` of the nearest rows are found on average; 1 looks at all of them.
    """

    metric: Metric
    top_k: int
    dense: Float32s | None
    sparse: SparseVector | None
    filter: Filter | None
    include_values: bool
    include_metadata: bool
    required_indices: UInt32s | None = None
    target_recall: float = TARGET_RECALL
