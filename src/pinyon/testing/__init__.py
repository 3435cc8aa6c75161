"""Fakes, oracles and suites for testing Pinyon and its extensions. Nothing in Pinyon imports it."""
