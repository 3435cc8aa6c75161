"""Encodes texts with pinecone-text's BM25Encoder, and stores and searches them: `bm25_encoder.py GIVEN`.

`GIVEN` is a JSON file: texts to fit the encoder on, the avgdl that it takes then, texts to encode, queries, and the
name of the model that embeds on the server. Needs NLTK's data, in `NLTK_DATA`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import plain
from connect import open_index, rest_client
from pinecone import ServerlessSpec
from pinecone_text.sparse import BM25Encoder

GIVEN = json.loads(Path(sys.argv[1]).read_text())
NAMESPACE = "texts"


def fitted_encoder() -> BM25Encoder:
    """An encoder with the document frequencies of the texts; avgdl is set to the one that is given."""
    encoder = BM25Encoder()
    encoder.fit(GIVEN["texts"])
    encoder.avgdl = GIVEN["avgdl"]
    return encoder


def frequencies(encoder: BM25Encoder) -> dict[str, Any]:
    """What `fit` learned, for JSON."""
    return {"count": encoder.n_docs, "of": list(encoder.doc_freq.items())}


def plain_sparse_index(client: Any) -> Any:
    """An index that holds the encoder's vectors, made and written as in Pinecone's examples."""
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    client.create_index(name="pinecone-text", vector_type="sparse", metric="dotproduct", spec=spec)
    return open_index("rest", client.describe_index("pinecone-text").host)


def integrated_index(client: Any) -> Any:
    """An index whose vectors the server makes of the same texts."""
    embed = {"model": GIVEN["model"], "field_map": {"text": "text"}}
    client.create_index_for_model(name="own-bm25", cloud="aws", region="us-east-1", embed=embed)
    return open_index("rest", client.describe_index("own-bm25").host)


def embedded(client: Any, query: str) -> dict[str, Any]:
    """The query's vector by the server's model."""
    (vector,) = client.inference.embed(model=GIVEN["model"], inputs=[query], parameters={"input_type": "query"}).data
    return {"indices": vector.sparse_indices, "values": vector.sparse_values}


def searches(encoder: BM25Encoder) -> dict[str, Any]:
    """Each query, by the encoder and by the server, over vectors of the encoder and of the server."""
    client = rest_client()
    theirs, ours = plain_sparse_index(client), integrated_index(client)
    vectors = encoder.encode_documents(GIVEN["texts"])
    numbers = range(len(vectors))
    theirs.upsert(vectors=[{"id": f"{i}", "sparse_values": vectors[i]} for i in numbers], namespace=NAMESPACE)
    ours.upsert_records(namespace=NAMESPACE, records=[{"_id": f"{i}", "text": GIVEN["texts"][i]} for i in numbers])

    def found(index: Any, vector: dict[str, Any]) -> list[list[Any]]:
        return plain.matches(index.query(sparse_vector=vector, top_k=100, namespace=NAMESPACE))

    return {
        query: {
            "theirs_by_theirs": found(theirs, encoder.encode_queries(query)),
            "ours_by_theirs": found(ours, encoder.encode_queries(query)),
            "theirs_by_ours": found(theirs, embedded(client, query)),
            "ours_by_ours": found(ours, embedded(client, query)),
        }
        for query in GIVEN["queries"]
    }


def main() -> None:
    """Print what the encoder makes of the texts, and what is found."""
    encoder = fitted_encoder()
    seen = {
        "frequencies": frequencies(encoder),
        "passages": encoder.encode_documents(GIVEN["texts"] + GIVEN["more_texts"]),
        "queries": encoder.encode_queries(GIVEN["queries"]),
        "terms": [encoder._tokenizer(text) for text in GIVEN["differing"]],
        "searches": searches(encoder),
    }
    print(json.dumps(seen))


main()
