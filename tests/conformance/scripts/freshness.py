"""How a client knows that a read has seen its write: `freshness.py rest|grpc PREFIX`, from version 8 on.

Every write tells its log sequence number, every query the newest one that it saw. Prints the numbers in order.
Over gRPC only version 8 shows them.
"""

import json
import sys
from typing import Any

from connect import open_index, rest_client
from pinecone import ServerlessSpec

TRANSPORT, PREFIX = sys.argv[1:]


def headers(response: Any) -> dict[str, str]:
    """Response headers, with lower-case names. The attribute has an underscore in version 8."""
    info = getattr(response, "_response_info", None) or response.response_info
    raw = info["raw_headers"] if isinstance(info, dict) else info.raw_headers
    return {name.lower(): value for name, value in raw.items()}


def main() -> None:
    """Write and query in turn."""
    client = rest_client()
    name = f"{PREFIX}-fresh"
    client.create_index(name=name, dimension=2, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1"))
    index = open_index(TRANSPORT, client.describe_index(name).host)
    seen = []
    for number in range(5):
        written = headers(index.upsert(vectors=[(f"r{number}", [1.0, float(number)])]))
        answer = index.query(vector=[1.0, float(number)], top_k=1)
        seen.append(
            {
                "written": int(written["x-pinecone-request-lsn"]),
                "queried": int(headers(answer)["x-pinecone-max-indexed-lsn"]),
                "nearest": answer.matches[0].id,
            }
        )
    updated = headers(index.update(id="r0", values=[2.0, 3.0]))
    seen.append({"written": int(updated["x-pinecone-request-lsn"])})
    print(json.dumps(seen))


main()
