"""Limits of Pinecone's API that Pinyon keeps, each with its source.

[seed] is Pinecone's page "Upsert data"; [docs] its page "Database limits"; [spec] its OpenAPI files.
Limits that an operator may change live in `pinyon.settings` and take their default from here.
"""

from typing import Final

RECORDS_PER_UPSERT_MAX: Final = 1000
"""Records in one upsert request [seed]."""

TEXT_RECORDS_PER_UPSERT_MAX: Final = 96
"""Records of text in one upsert request [docs]."""

UPSERT_BYTES_MAX: Final = 2 * 1024 * 1024
"""Decoded size of one upsert request: `4 * dimension + metadata bytes` summed over its records.

The batch table of [seed] adds up only when counted like this; as JSON text the same vectors are four times as large.
"""

METADATA_BYTES_MAX: Final = 40 * 1024
"""Metadata of one record, as JSON text [seed]."""

ID_LENGTH_MAX: Final = 512
"""Characters of a record id, all ASCII [seed]."""

NAMESPACE_LENGTH_MAX: Final = 512
"""Characters of a namespace name, all ASCII [docs]."""

DIMENSION_MAX: Final = 20_000
"""Dimension of dense vectors [seed]."""

SPARSE_NONZEROS_MAX: Final = 2048
"""Non-zero values of one sparse vector [docs]; [seed] still says 1000, and clients rely on the newer number."""

SPARSE_INDEX_MAX: Final = 2**32 - 1
"""Largest index of a sparse vector: 4.2 billion dimensions [seed]."""

TOP_K_MAX: Final = 10_000
"""Matches of one query [spec]."""

IDS_PER_REQUEST_MAX: Final = 1000
"""Ids of one fetch or delete request [docs]."""

LIST_PAGE_MAX: Final = 100
"""Ids or namespaces of one page of a list [spec]."""

FETCH_BY_METADATA_PAGE_DEFAULT: Final = 100
FETCH_BY_METADATA_PAGE_MAX: Final = 10_000
"""Records of one page of fetch by metadata [spec]."""

FILTER_LIST_MAX: Final = 10_000
"""Values of one `$in` or `$nin` list [docs]."""

FILTER_DEPTH_MAX: Final = 64
"""Nesting of `$and` and `$or`. Pinecone names no number; this keeps recursion far from Python's own limit."""

INDEX_NAME_LENGTH_MAX: Final = 45
"""Characters of an index name [spec]."""

TAGS_MAX: Final = 20
TAG_KEY_LENGTH_MAX: Final = 80
TAG_VALUE_LENGTH_MAX: Final = 120
"""Tags of an index [spec]."""

METADATA_SCHEMA_FIELDS_MAX: Final = 50
"""Fields of a metadata schema [docs]."""

NAMESPACES_PER_INDEX_MAX: Final = 100_000
"""Namespaces of one index [docs, paid plans]."""

TEXT_LENGTH_MAX: Final = 1024 * 1024
"""Characters of one text to embed, to rank or to search for. Pinecone names no number; models read some hundred words
of a text, and this bounds the memory that splitting it takes."""

MESSAGE_BYTES_MAX: Final = 128 * 1024 * 1024
"""One request body or gRPC message; what the official Python clients allow both ways."""

ZERO_VECTOR_EPSILON: Final = 1e-8
"""A dense vector with no component at least this large counts as all zeros."""
