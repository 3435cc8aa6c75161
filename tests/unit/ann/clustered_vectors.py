"""Vectors as models make them: in clusters of different sizes, around an origin that is not their mean."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pinyon.ann.exact import goodness
from pinyon.ann.quantised import Encoder, Model, Quantised, group, train, training_rows
from pinyon.ann.space import Space, choose_space, long_rows
from pinyon.model.batches import squared_norms
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s


class Vectors(NamedTuple):
    rows: Float32s
    queries: Float32s


def clustered_vectors(metric: Metric, dimension: int, row_count: int, query_count: int = 40, seed: int = 1) -> Vectors:
    """Rows and queries of the same clusters. Lengths of rows for dotproduct have a heavy tail."""
    rng = np.random.default_rng(seed)
    count = row_count + query_count
    # Numbers of a model's vectors depend on each other: most of what differs lies in a few directions.
    scales = (1 + np.arange(dimension)) ** -0.5
    centers = rng.standard_normal((max(8, row_count // 100), dimension)) * scales + 0.1
    numbers = np.minimum(rng.zipf(1.3, count) - 1, len(centers) - 1)
    vectors = centers[numbers] + 0.7 * rng.standard_normal((count, dimension)) * scales * rng.random((count, 1))
    if metric is Metric.DOTPRODUCT:
        vectors *= rng.lognormal(0, 0.7, (count, 1))
    return Vectors(vectors[query_count:].astype(np.float32), vectors[:query_count].astype(np.float32))


def space_of(metric: Metric, rows: Float32s) -> Space:
    space = choose_space(metric, rows, squared_norms(rows))
    if metric is Metric.COSINE:
        return space
    moved = space.rows(rows)
    return replace(space, long_rows=long_rows(np.vecdot(moved, moved)))


def nearest_rows(rows: Float32s, query: Float32s, metric: Metric, count: int = 10) -> Int64s:
    order: Int64s = np.argsort(-goodness(rows, squared_norms(rows), query, metric), kind="stable")[:count]
    return order


class Built(NamedTuple):
    """Quantised partitions and their rows in order of partitions."""

    quantised: Quantised
    rows: Float32s
    starts: Int64s
    model: Model


def build(metric: Metric, rows: Float32s, chunk: int = 1000, seed: int = 7) -> Built:
    space = space_of(metric, rows)
    model = train(space, rows[training_rows(len(rows), seed)], len(rows), seed)
    partitions = np.concatenate([model.assign(rows[start : start + chunk]) for start in range(0, len(rows), chunk)])
    order, starts = group(partitions, model.partition_count)
    ordered = rows[order]
    # Rows have other numbers from here on.
    space = replace(space, long_rows=np.flatnonzero(np.isin(order, space.long_rows)))
    model = replace(model, space=space)
    encoder = Encoder(model, starts)
    words = [encoder.add(ordered[start : start + chunk]) for start in range(0, len(rows), chunk)]
    quantised = Quantised(model, starts, np.concatenate(words), encoder.factors, encoder.constants)
    return Built(quantised, ordered, starts, model)


def share_found(found: Int64s, nearest: Int64s) -> float:
    return float(np.isin(nearest, found).mean())
