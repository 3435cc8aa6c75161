"""Nearest rows of a matrix. `exact` is the oracle of every structure to come."""
