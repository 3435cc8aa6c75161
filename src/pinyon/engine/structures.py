"""What a dedicated segment has for searches, read from its columns when it is first needed.

Thread rule: any thread may read; two threads that open the same thing at once do it twice, and one of them wins.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np

from pinyon.ann.graph import Graph
from pinyon.ann.postings import Postings
from pinyon.ann.quantised import Model, Quantised
from pinyon.ann.space import Space
from pinyon.engine.runs import Run
from pinyon.engine.selections import Selections
from pinyon.filter.select import select
from pinyon.filter.stored_columns import StoredColumns
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Float32s
from pinyon.segment.column_format import data_loss
from pinyon.segment.segment import Segment


class Structures:
    """The structures of one dedicated segment.

    Attributes:
        graph: None until there is one.
    """

    def __init__(self, segment: Segment, definition: IndexDefinition) -> None:
        """Read what `pinyon.engine.segment_build` wrote.

        Raises:
            DataLossError: it wrote something else.
        """
        if definition.dimension is not None and not segment.properties.keys() >= {"scale", "seed"}:
            raise data_loss(segment.path, "it has no scale or no seed for searches of its rows")
        self._segment = segment
        self._definition = definition
        self.graph: Graph | None = None

    def has_read(self, name: str) -> bool:
        """True if something, such as "quantised", was read before, so that it is at hand."""
        return name in self.__dict__

    @cached_property
    def space(self) -> Space:
        """Where rows and queries are compared."""
        dimension = self._definition.dimension
        assert dimension is not None
        column, scale = self._segment.extra, float(self._segment.properties["scale"])
        return Space(self._definition.metric, dimension, scale, column("origin"), column("long_rows"))

    @cached_property
    def mean(self) -> Float32s:
        """About the mean of all rows, in the space, `(dimension,)`; zeros for euclidean."""
        mean: Float32s = self._segment.extra("partition_mean")
        return mean

    @cached_property
    def quantised(self) -> Quantised:
        """The rows in partitions, one bit a dimension."""
        column = self._segment.extra
        model = Model(self.space, column("partition_centroids"), self.mean, int(self._segment.properties["seed"]))
        return Quantised(
            model, column("partition_starts"), column("codes"), column("code_factors"), column("code_constants")
        )

    @cached_property
    def columns(self) -> StoredColumns:
        """Metadata by field."""
        segment = self._segment
        return StoredColumns(segment.extra, segment.row_count, segment.metadata_rows)

    @cached_property
    def selections(self) -> Selections:
        """The rows that filters select."""
        # Without `self` in it: a segment that is merged away is to go at once, with its graph, and not in some cycle.
        columns = self.columns
        return Selections(lambda condition: select(condition, columns).rows())

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Postings of the sparse values, by rows of the segment."""
        column = self._segment.extra
        if not self._segment.has_extra("postings_runs"):
            return ()
        rows, values = column("postings_rows"), column("postings_values")
        terms, starts = column("postings_terms"), column("postings_starts")
        ends = [self._segment.row_count, len(terms), len(rows), 0]
        table = [*column("postings_runs").tolist(), ends]
        runs = []
        for number, (this, following) in enumerate(pairwise(table)):
            row_count, term, value = following[0] - this[0], slice(this[1], following[1]), slice(this[2], following[2])
            postings = Postings(
                row_count=row_count,
                is_positive=bool(this[3]),
                terms=terms[term],
                starts=starts[this[1] + number : following[1] + number + 1],
                rows=rows[value],
                values=values[value],
            )
            runs.append(Run(np.arange(this[0], following[0]), postings))
        return tuple(runs)
