"""Immutable files of rows on disk, as columns."""
