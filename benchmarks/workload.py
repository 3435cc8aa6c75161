"""The records, request bodies and servers that the benchmarks share."""

import contextlib
import importlib
import inspect
import itertools
import json
import struct
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

DIMENSION: Final = 384
RECORDS: Final = 100_000
RECORDS_PER_REQUEST: Final = 500
TEXTS_PER_REQUEST: Final = 96
GENRES: Final = ("comedy", "documentary", "drama", "action", "horror")


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """`(count, DIMENSION)` float32 of unit length."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION), np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def metadata(row: int) -> dict[str, str | int]:
    """Small metadata as on the seed page."""
    return {"genre": GENRES[row % len(GENRES)], "year": 1990 + row % 35}


def batches(count: int) -> Iterator[range]:
    """Rows of one request after another."""
    for first in range(0, count, RECORDS_PER_REQUEST):
        yield range(first, min(first + RECORDS_PER_REQUEST, count))


def json_bodies(rows: np.ndarray) -> list[bytes]:
    """Upsert requests as the Python client sends them: doubles with all their digits."""
    return [
        json.dumps(
            {
                "vectors": [
                    {"id": f"id-{row}", "values": rows[row].tolist(), "metadata": metadata(row)} for row in batch
                ],
                "namespace": "",
            }
        ).encode()
        for batch in batches(len(rows))
    ]


def grpc_messages(rows: np.ndarray) -> list[bytes]:
    """Upsert requests in protobuf; written by hand here so that nothing of the server's codec is used."""
    return [b"".join(_field(1, _vector(row, rows[row])) for row in batch) for batch in batches(len(rows))]


def texts(count: int) -> list[str]:
    """English sentences: the first paragraphs of documentation in Python's own library, the same in every run."""
    found: dict[str, None] = {}
    for name in sorted(sys.stdlib_module_names - {"antigravity", "this", "idlelib", "test"}):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            for member in (module, *vars(module).values()):
                paragraph = (inspect.getdoc(member) or "").partition("\n\n")[0]
                if len(paragraph) > 40:
                    found[paragraph] = None
    return list(itertools.islice(itertools.cycle(found), count))


def record_bodies(sentences: list[str], records_per_request: int = TEXTS_PER_REQUEST) -> list[bytes]:
    """Requests that upsert text, with the field `source_text`."""
    lines = [json.dumps({"_id": f"id-{row}", "source_text": text}).encode() for row, text in enumerate(sentences)]
    starts = range(0, len(lines), records_per_request)
    return [b"\n".join(lines[start : start + records_per_request]) for start in starts]


def _vector(row: int, values: np.ndarray) -> bytes:
    entries = [
        _field(1, _field(1, b"genre") + _field(2, _field(3, str(metadata(row)["genre"]).encode()))),
        _field(1, _field(1, b"year") + _field(2, b"\x11" + struct.pack("<d", metadata(row)["year"]))),
    ]
    return _field(1, f"id-{row}".encode()) + _field(2, values.tobytes()) + _field(3, b"".join(entries))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = itertools.takewhile(bool, (value >> shift for shift in itertools.count(7, 7)))
    return bytes([value & 0x7F | 0x80 * (value > 0x7F)]) + b"".join(
        bytes([digit & 0x7F | 0x80 * (digit > 0x7F)]) for digit in digits
    )
