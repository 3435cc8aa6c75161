"""Many upserts at once from the asynchronous clients and from the batching of 9 and 10: `concurrency.py PREFIX`.

Prints records counted after each way of writing the same number of them.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from connect import CONTROL_HOST, KEY, VERSION, open_index, rest_client
from pinecone import ServerlessSpec

(PREFIX,) = sys.argv[1:]
REQUESTS = 100
RECORDS_PER_REQUEST = 20
DIMENSION = 32


def batch(number: int) -> list[tuple[str, list[float]]]:
    """Records that no other batch has."""
    return [(f"{number}-{row}", [float(number + 1)] * DIMENSION) for row in range(RECORDS_PER_REQUEST)]


def create(kind: str) -> str:
    """Create an index. Returns its host."""
    client = rest_client()
    name = f"{PREFIX}-{kind}"
    client.create_index(
        name=name, dimension=DIMENSION, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1")
    )
    return client.describe_index(name).host


def count(host: str) -> int:
    """Records of an index."""
    return open_index("rest", host).describe_index_stats().total_vector_count


async def upsert_all(upsert: Callable[..., Awaitable[Any]]) -> int:
    """Send all requests at once. Returns what the answers add up to."""
    answers = await asyncio.gather(*(upsert(vectors=batch(number)) for number in range(REQUESTS)))
    return sum(answer.upserted_count for answer in answers)


async def asynchronous(host: str) -> int:
    """`PineconeAsyncio` up to 8 (aiohttp), `AsyncPinecone` from 9 on (httpx)."""
    if VERSION < (9,):
        from pinecone import PineconeAsyncio

        async with (
            PineconeAsyncio(api_key=KEY, host=CONTROL_HOST) as client,
            client.IndexAsyncio(host=host) as index,
        ):
            return await upsert_all(index.upsert)
    from pinecone import AsyncPinecone

    async with AsyncPinecone(api_key=KEY, host=CONTROL_HOST) as client, await client.index(host=host) as index:
        return await upsert_all(index.upsert)


def batched(host: str, transport: str) -> int:
    """One call whose records the client splits, and sends in parallel from 9 on."""
    records = [record for number in range(REQUESTS) for record in batch(number)]
    options = {"max_concurrency": 16} if VERSION >= (9,) else {}
    answer = open_index(transport, host).upsert(
        vectors=records, batch_size=RECORDS_PER_REQUEST, show_progress=False, **options
    )
    return answer.upserted_count


def main() -> None:
    """Write the same records in every way, each into an index of its own."""
    seen: dict[str, Any] = {}
    host = create("async")
    seen["async"] = [asyncio.run(asynchronous(host)), count(host)]
    for transport in ("rest", "grpc"):
        host = create(f"batched-{transport}")
        seen[f"batched_{transport}"] = [batched(host, transport), count(host)]
    print(json.dumps(seen))


main()
