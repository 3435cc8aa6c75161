"""What a caller may ask, whatever the protocol: validation, limits, keys. No bytes of a wire, no files."""
