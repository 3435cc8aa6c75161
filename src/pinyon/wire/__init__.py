"""Bytes to requests and results to bytes: REST and gRPC on one port. No rule of the database."""
