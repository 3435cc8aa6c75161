"""Checking what a dedicated segment has for searches against the columns from which it was made.

Filter columns and postings follow from the metadata and the sparse values alone, so they are made again and compared.
Codes depend on how a machine rounds; of them only is checked that they belong to the rows.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from pinyon.ann.codes import word_count
from pinyon.ann.postings import postings_of
from pinyon.ann.rotation import Rotation
from pinyon.engine.structures import Structures
from pinyon.filter import field_index
from pinyon.filter.stored_columns import SCANNED_ROWS
from pinyon.model.index import IndexDefinition
from pinyon.model.metric import Metric
from pinyon.model.record import BytesColumn
from pinyon.segment.column_format import data_loss
from pinyon.segment.segment import Segment

_NORM_TOLERANCE: Final = 1e-3
"""As squared lengths are stored; see `docs/format/v1.md`."""


def verify_structures(segment: Segment, definition: IndexDefinition) -> None:
    """Check the structures of a segment; one that is shared has none.

    Raises:
        DataLossError: they do not fit the rows.
    """
    if not segment.properties.get("dedicated"):
        return
    if len(segment.namespaces) != 1:
        raise data_loss(segment.path, f"it is dedicated to one namespace, and has {len(segment.namespaces)}")
    structures = Structures(segment, definition)
    if segment.dimension is not None:
        _verify_codes(segment, structures)
    _verify_filters(segment, structures)
    _verify_postings(segment, structures)


def _verify_codes(segment: Segment, structures: Structures) -> None:
    column, rows = segment.extra, segment.row_count
    starts, space = column("partition_starts"), structures.space
    if starts[0] != 0 or starts[-1] != rows or (np.diff(starts) < 0).any():
        raise data_loss(segment.path, "column partition_starts does not divide the rows")
    words = word_count(Rotation(space.dimension, int(segment.properties["seed"])).padded_width)
    shapes = {
        "origin": (space.dimension,),
        "partition_mean": (space.dimension,),
        "partition_centroids": (len(starts) - 1, space.dimension),
        "code_factors": (rows,),
        "code_constants": (rows,),
        "codes": (rows, words),
    }
    for name, shape in shapes.items():
        if column(name).shape != shape:
            raise data_loss(segment.path, f"column {name} is {column(name).shape} where {shape} must be")
    if not np.array_equal(space.long_rows, np.intersect1d(space.long_rows, np.arange(rows))):
        raise data_loss(segment.path, "column long_rows does not name rows")
    norms = np.delete(segment.squared_norms.slice(0, rows), space.long_rows)
    if space.metric is Metric.DOTPRODUCT and math.sqrt(norms.max(initial=0)) > space.scale * (1 + _NORM_TOLERANCE):
        raise data_loss(segment.path, "a vector is longer than the longest that it was built for")


def _verify_filters(segment: Segment, structures: Structures) -> None:
    """Indexing the same fields again gives the same columns."""
    fields = structures.columns.fields
    found = field_index.build(_metadata(segment), set(fields), max(len(fields), 1))
    for name, array in found.items():
        if not np.array_equal(array, segment.extra(name)):
            raise data_loss(segment.path, f"column {name} does not follow from the metadata")


def _metadata(segment: Segment) -> Iterator[BytesColumn]:
    for start in range(0, segment.row_count, SCANNED_ROWS):
        yield segment.metadata_slice(start, min(start + SCANNED_ROWS, segment.row_count))


def _verify_postings(segment: Segment, structures: Structures) -> None:
    """Sorting the sparse values by term again gives the same runs."""
    reached = 0
    for run in structures.runs:
        stored, stop = run.postings, reached + run.postings.row_count
        made = postings_of(segment.sparse_rows(reached, stop))
        for name in ("is_positive", "terms", "starts", "rows", "values"):
            if not np.array_equal(getattr(stored, name), getattr(made, name)):
                raise data_loss(segment.path, f"the {name} of its postings do not follow from the sparse values")
        reached = stop
    if reached != (segment.row_count if segment.sparse_count else 0):
        raise data_loss(segment.path, f"its postings are of {reached} rows")
