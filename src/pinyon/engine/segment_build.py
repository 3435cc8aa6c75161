"""Building segments of groups of rows.

Small namespaces share a segment, in which a search looks at all rows of one. A namespace with many rows gets a segment
of its own, a dedicated one, with the structures that make searches of it fast: rows grouped into partitions and
quantised, postings of sparse values, columns for filters. What a dedicated segment has beside the columns of every
segment is written down in `docs/format/v1.md`, "Dedicated segments".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np

from pinyon.ann import quantised
from pinyon.ann.postings import Postings, postings_of
from pinyon.ann.space import choose_space
from pinyon.engine.part import LiveSegment
from pinyon.engine.row_groups import RowGroup
from pinyon.filter import field_index
from pinyon.model.batches import concatenate_bytes, concatenate_sparse
from pinyon.model.index import IndexDefinition
from pinyon.model.record import BytesColumn, Float32s, Int64s, SparseColumn
from pinyon.segment.segment import Segment
from pinyon.segment.writer import ExtraColumn, write_segment
from pinyon.storage.protocol import Storage

_CHUNK_BYTES: Final = 8 * 1024 * 1024
_CHUNK_ROWS_MAX: Final = 16_384
_METADATA_CHUNK_BYTES: Final = 2 * 1024 * 1024
_METADATA_ROWS: Final = 1024
"""Rows whose metadata is read at once; it may be many MB."""

_RUN_VALUES_MAX: Final = 4_194_304
"""Sparse values whose postings are made at once, at 30 bytes each."""

_ROW_BYTES: Final = 200
"""What a build keeps for each row, beside what metadata takes (measured, rounded up)."""

_POSTINGS: Final = {"rows": np.int32, "values": np.float32, "terms": np.uint32, "starts": np.int64}


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How segments are cut.

    Attributes:
        dedicated_rows_min: rows of a namespace from which on it gets segments of its own. To score fewer takes no
            longer than the steps of a search by structure.
        sample_bytes_max: rows that partitions are made of; a build takes some four times as much memory.
        seed: of all chance.
    """

    dedicated_rows_min: int = 4096
    sample_bytes_max: int = 256 * 1024 * 1024
    seed: int = 1


BUILD_OPTIONS: Final = BuildOptions()


@dataclass(frozen=True, slots=True)
class Built:
    """A segment that was written and opened, and the groups of which its namespaces were made, in order."""

    live: LiveSegment
    groups: Sequence[RowGroup]


def build(
    storage: Storage,
    path: str,
    number: int,
    groups: Sequence[RowGroup],
    definition: IndexDefinition,
    options: BuildOptions = BUILD_OPTIONS,
    filterable_fields: Sequence[str] | None = None,
) -> Built:
    """Write one segment, durable but for its name, and open it.

    Args:
        storage: where it is written.
        path: of its file.
        number: of the segment.
        groups: one for each namespace, none empty. A single one of enough rows makes a dedicated segment.
        definition: of the index.
        options: how segments are cut.
        filterable_fields: those that the namespace of a dedicated segment declares; None inherits the index's.

    Raises:
        UnavailableError: the disk failed; part of the file may be there.
    """
    extra: Iterator[ExtraColumn] = iter(())
    properties: dict[str, Any] = {}
    if is_dedicated(groups, options):
        fields = definition.filterable_fields if filterable_fields is None else filterable_fields
        groups, extra, properties = _structures(groups[0], definition, fields, options)
    write_segment(storage, path, groups, dimension=definition.dimension, extra=extra, properties=properties)
    return Built(LiveSegment(number, Segment.open(storage, path), definition), groups)


def is_dedicated(groups: Sequence[RowGroup], options: BuildOptions) -> bool:
    """True if a segment of these groups is searched by structure."""
    return len(groups) == 1 and len(groups[0]) >= options.dedicated_rows_min


def build_bytes(live: LiveSegment) -> int:
    """About what the rows of a segment take in memory while another one is built of them.

    Known without its bytes, which may be damaged. Of a shared segment, whose values are not known, the rows count.
    """
    row_bytes = _ROW_BYTES * live.alive_count
    if live.structures is None:
        return row_bytes
    names = ("filter_term_keys", "filter_term_rows", "filter_numbers")
    return row_bytes + field_index.build_bytes(*(live.segment.extra_count(name) for name in names))


def _structures(
    group: RowGroup, definition: IndexDefinition, fields: Sequence[str] | None, options: BuildOptions
) -> tuple[Sequence[RowGroup], Iterator[ExtraColumn], dict[str, Any]]:
    """The group in the order of its partitions, and the columns and properties that searches need."""
    properties: dict[str, Any] = {"dedicated": True}
    if definition.dimension is None:
        return [group], _filters_and_postings(group, fields), properties
    sample = _sample(group, definition.dimension, options)
    space = choose_space(definition.metric, sample, group.squared_norms())
    model = quantised.train(space, sample, len(group), options.seed)
    partitions = np.concatenate([model.assign(chunk) for chunk in dense_chunks(group)])
    order, starts = quantised.group(partitions, model.partition_count)
    group = group.reordered(order)
    properties |= {"scale": space.scale, "seed": options.seed}

    def columns() -> Iterator[ExtraColumn]:
        yield from _codes(group, model, starts)
        yield from _filters_and_postings(group, fields)

    return [group], columns(), properties


def _sample(group: RowGroup, dimension: int, options: BuildOptions) -> Float32s:
    rows = quantised.training_rows(len(group), options.seed)
    count_max = max(options.sample_bytes_max // (4 * dimension), 1)
    return _dense(group, rows[:: -(-len(rows) // count_max)])


def _codes(group: RowGroup, model: quantised.Model, starts: Int64s) -> Iterator[ExtraColumn]:
    encoder = quantised.Encoder(model, starts)
    words = (encoder.add(chunk) for chunk in dense_chunks(group))
    yield ExtraColumn("codes", np.uint64, encoder.word_count, words)
    yield ExtraColumn("code_factors", np.float32, None, [encoder.factors])
    yield ExtraColumn("code_constants", np.float32, None, [encoder.constants])
    yield ExtraColumn("partition_starts", np.int64, None, [starts])
    yield ExtraColumn("partition_centroids", np.float32, model.centroids.shape[1], [model.centroids])
    yield ExtraColumn("partition_mean", np.float32, None, [model.mean])
    yield ExtraColumn("origin", np.float32, None, [model.space.origin])
    yield ExtraColumn("long_rows", np.int64, None, [encoder.long_rows(group.squared_norms())])


def _filters_and_postings(group: RowGroup, fields: Sequence[str] | None) -> Iterator[ExtraColumn]:
    columns = field_index.build(_metadata_chunks(group), fields)
    for name, dtype in field_index.COLUMN_TYPES.items():
        yield ExtraColumn(name, dtype, None, [columns[name]])
    if group.has_sparse():
        yield from _postings(group)


def _postings(group: RowGroup) -> Iterator[ExtraColumn]:
    """Postings of all rows, as runs of consecutive rows, one after another."""
    runs: list[Postings] = []
    bounds = [0]
    for stop, column in _sparse_runs(group):
        runs.append(postings_of(column))
        bounds.append(stop)
    for name, dtype in _POSTINGS.items():
        yield ExtraColumn(f"postings_{name}", dtype, None, [getattr(run, name) for run in runs])
    # Row i: where run i begins among the rows of the segment, the terms and the values, and whether all are positive.
    table = [
        (first_row, terms, values, run.is_positive)
        for first_row, terms, values, run in zip(
            bounds,
            accumulate([0, *(len(run.terms) for run in runs)]),
            accumulate([0, *(len(run.rows) for run in runs)]),
            runs,
            strict=False,
        )
    ]
    yield ExtraColumn("postings_runs", np.int64, 4, [np.array(table, np.int64)])


def _sparse_runs(group: RowGroup) -> Iterator[tuple[int, SparseColumn]]:
    """The sparse rows, cut where there are enough values, each piece with the row behind its last."""
    waiting: list[SparseColumn] = []
    for start, stop in _ranges(len(group), _CHUNK_ROWS_MAX):
        waiting.append(group.sparse(start, stop))
        value_count = sum(int(column.offsets[-1] - column.offsets[0]) for column in waiting)
        if value_count >= _RUN_VALUES_MAX or stop == len(group):
            yield stop, concatenate_sparse(waiting)
            waiting = []


def dense_chunks(group: RowGroup) -> Iterator[Float32s]:
    """The dense vectors of all rows, some MiB at a time."""
    first = _dense(group, np.zeros(1, np.int64))
    rows = min(max(_CHUNK_BYTES // first.nbytes, 1), _CHUNK_ROWS_MAX)
    for start, stop in _ranges(len(group), rows):
        yield _dense(group, np.arange(start, stop))


def _metadata_chunks(group: RowGroup) -> Iterator[BytesColumn]:
    """The metadata of all rows, cut where there are enough bytes or rows."""
    waiting: list[BytesColumn] = []
    for start, stop in _ranges(len(group), _METADATA_ROWS):
        waiting.append(group.metadata(start, stop))
        waiting_bytes = sum(len(column.data) for column in waiting)
        if waiting_bytes >= _METADATA_CHUNK_BYTES or stop % _CHUNK_ROWS_MAX == 0 or stop == len(group):
            yield concatenate_bytes(waiting)
            waiting = []


def _dense(group: RowGroup, positions: Int64s) -> Float32s:
    dense = group.dense_of(positions)
    assert dense is not None
    return dense


def _ranges(stop: int, step: int) -> Iterator[tuple[int, int]]:
    return pairwise([*range(0, stop, step), stop])
