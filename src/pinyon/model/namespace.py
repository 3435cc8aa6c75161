"""What is known of a namespace."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamespaceDescription:
    """One namespace. The default one is named `__default__`; `size_bytes` counts vectors, metadata and ids."""

    name: str
    record_count: int
    size_bytes: int
    filterable_fields: tuple[str, ...] | None
