"""A few calls over both transports, with nothing said about them but host and key: `smoke.py PREFIX`.

For servers that speak TLS: here the gRPC examples of Pinecone's page run as they are written.
"""

import json
import sys

import plain
from connect import open_index, rest_client
from pinecone import ServerlessSpec

(PREFIX,) = sys.argv[1:]


def main() -> None:
    """Create an index, and write and read it over REST and gRPC."""
    client = rest_client()
    name = f"{PREFIX}-smoke"
    client.create_index(name=name, dimension=2, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1"))
    host = client.describe_index(name).host
    seen = {"host": host}
    for transport in ("rest", "grpc"):
        index = open_index(transport, host)
        index.upsert(vectors=[(f"{transport}-1", [1.0, 0.0]), (f"{transport}-2", [0.0, 1.0])], namespace=transport)
        seen[transport] = plain.matches(index.query(vector=[1.0, 0.0], top_k=2, namespace=transport))
    client.delete_index(name)
    print(json.dumps(seen))


main()
