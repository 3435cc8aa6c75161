"""Models that turn text into vectors, and that say how well a text answers a query."""
