"""The nouns of a vector database: records, vectors, metadata, metrics. No I/O, no rule of the API."""
