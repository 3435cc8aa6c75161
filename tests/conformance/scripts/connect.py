"""How each generation of the Python client is pointed at a server. All other scripts are the same for all generations.

The server and the key come from the environment: `SERVER_URL` (the control plane, with scheme), `SERVER_KEY`, and
`SERVER_CA` where the server speaks TLS under a private certificate authority.
"""

import os
from importlib.metadata import version
from typing import Any

from pinecone import Pinecone

VERSION = tuple(int(part) for part in version("pinecone").split("."))
CONTROL_HOST = os.environ["SERVER_URL"]
KEY = os.environ["SERVER_KEY"]
CA_FILE = os.environ.get("SERVER_CA")


def rest_client(key: str = KEY, **options: Any) -> Any:
    """`Pinecone`. Up to 8 it must be told of a private authority; 9 and 10 read `SSL_CERT_FILE`."""
    return Pinecone(api_key=key, host=CONTROL_HOST, **trust(), **options)


def grpc_client(key: str = KEY, **options: Any) -> Any:
    """`PineconeGRPC`, whose control plane is REST like that of `Pinecone`."""
    from pinecone.grpc import PineconeGRPC

    return PineconeGRPC(api_key=key, host=CONTROL_HOST, **trust(), **options)


def trust() -> dict[str, str]:
    """The argument by which clients up to 8 trust a private authority."""
    return {"ssl_ca_certs": CA_FILE} if CA_FILE and VERSION < (9,) else {}


def open_index(transport: str, host: str, key: str = KEY) -> Any:
    """An index over "rest" or "grpc". `host` is what `describe_index` gives."""
    if transport == "rest":
        return rest_client(key).Index(host=host)
    if CA_FILE:
        return grpc_client(key).Index(host=host)
    return plaintext_grpc_index(host, key)


def plaintext_grpc_index(host: str, key: str) -> Any:
    """An index over gRPC without TLS, which each generation asks for in its own way.

    Up to 8 a host with a scheme is not understood; from 9 on some calls go by REST, which needs the scheme.
    """
    if VERSION < (9,):
        from pinecone.grpc import GRPCClientConfig

        bare_host = host.removeprefix("http://")
        return grpc_client(key).Index(host=bare_host, grpc_config=GRPCClientConfig(secure=False))
    if VERSION < (10,):
        from pinecone.grpc import GrpcIndex

        return GrpcIndex(host=host, api_key=key, secure=False)
    return grpc_client(key, grpc_scheme="http").Index(host=host)
