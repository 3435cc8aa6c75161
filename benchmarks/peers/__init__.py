"""Pinyon and its peers on the same data in one session: `python -m benchmarks.peers`. See `benchmarks/README.md`."""
