"""Indexes and namespaces: writes become durable here, reads see one state. Synchronous; called from many threads."""
