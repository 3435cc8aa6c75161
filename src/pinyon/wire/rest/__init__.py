"""REST: paths, and JSON to requests and from results."""
