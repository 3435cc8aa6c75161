"""Nearest rows of a matrix. `exact` is the oracle of every other structure; all are arrays, and none touches files."""
