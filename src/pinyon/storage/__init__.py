"""Where bytes live: the only package that touches files."""
