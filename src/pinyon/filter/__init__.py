"""Metadata filters: parsed once per request, evaluated over columns. Knows no index and no wire."""
