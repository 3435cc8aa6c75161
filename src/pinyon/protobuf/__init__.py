"""The Protocol Buffers wire format: scalar reading and writing, scanning many messages at once. Knows no service."""
