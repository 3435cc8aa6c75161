"""Models of a few words, in the files that fastembed reads: what they put out can be computed by hand.

A folder holds a tokenizer of whole words and an ONNX graph that looks a row up for each token. The graph is written as
the protobuf message of onnx.proto, of which a handful of fields do.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pinyon.protobuf.wire_format import write_message, write_text, write_varint

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS: Final = ("query", "passage", ":", "good", "bad", "one", "two", "three", "four", "five", "six")
VOCABULARY: Final = {word: number for number, word in enumerate(SPECIAL + WORDS)}

Constant: TypeAlias = NDArray[np.float32] | NDArray[np.int64]

_FLOAT, _INT64 = 1, 7
_INT_ATTRIBUTE = 2


def write_dense_model(folder: Path, rows: Mapping[str, Sequence[float]], *, max_tokens: int = 16) -> Path:
    """A model whose hidden state of a token is the row of its word; words without one have zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, max_tokens)
    gather = _node("Gather", ["table", "input_ids"], "last_hidden_state")
    _write_graph(folder / "model.onnx", [gather], {"table": _table(rows)}, "last_hidden_state", ["attention_mask"])
    return folder


def write_splade_model(folder: Path, rows: Mapping[str, Mapping[str, float]], *, max_tokens: int = 16) -> Path:
    """A model whose logits at a token are those of its word's row, by words of the vocabulary."""
    table = {word: [row.get(column, 0.0) for column in VOCABULARY] for word, row in rows.items()}
    return write_dense_model(folder, table, max_tokens=max_tokens)


def write_cross_encoder(folder: Path, weights: Mapping[str, float], *, max_tokens: int = 16) -> Path:
    """A model whose logit is the sum of the weights of the document's words; the query counts for nothing."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, max_tokens)
    nodes = [
        _node("Gather", ["weights", "input_ids"], "weight_of_token"),
        _node("Cast", ["token_type_ids"], "is_document", to=_FLOAT),
        _node("Cast", ["attention_mask"], "is_text", to=_FLOAT),
        _node("Mul", ["weight_of_token", "is_document"], "weight_in_document"),
        _node("Mul", ["weight_in_document", "is_text"], "weight_in_text"),
        _node("ReduceSum", ["weight_in_text", "axes"], "logits", keepdims=1),
    ]
    # Were padding counted, it would show.
    column = np.array([weights.get(word, 100.0 if word == "[PAD]" else 0.0) for word in VOCABULARY], np.float32)
    constants: dict[str, Constant] = {"weights": column, "axes": np.array([1], np.int64)}
    _write_graph(folder / "onnx" / "model.onnx", nodes, constants, "logits", ["attention_mask", "token_type_ids"])
    return folder


def _table(rows: Mapping[str, Sequence[float]]) -> NDArray[np.float32]:
    width = len(next(iter(rows.values())))
    return np.array([rows.get(word, [0.0] * width) for word in VOCABULARY], np.float32)


def _write_tokenizer(folder: Path, max_tokens: int) -> None:
    """Words at spaces and punctuation; `[CLS] text [SEP]`, `[CLS] query [SEP] document [SEP]`."""
    special = {word: {"id": word, "ids": [VOCABULARY[word]], "tokens": [word]} for word in ("[CLS]", "[SEP]")}
    single = [_special("[CLS]", 0), _sequence("A", 0), _special("[SEP]", 0)]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": VOCABULARY[word],
                "content": word,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for word in SPECIAL
        ],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, _sequence("B", 1), _special("[SEP]", 1)],
            "special_tokens": special,
        },
        "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = {"model_max_length": max_tokens, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _special(word: str, type_id: int) -> dict[str, dict[str, str | int]]:
    return {"SpecialToken": {"id": word, "type_id": type_id}}


def _sequence(name: str, type_id: int) -> dict[str, dict[str, str | int]]:
    return {"Sequence": {"id": name, "type_id": type_id}}


# ---------------------------------------------------------------------------------------------------------------------
# onnx.proto, as far as it is needed: numbers are those of its fields.


def _write_graph(
    path: Path,
    nodes: Sequence[list[bytes]],
    constants: Mapping[str, Constant],
    output: str,
    more_inputs: Sequence[str],
) -> None:
    graph: list[bytes] = []
    for node in nodes:
        write_message(graph, 1, node)
    write_text(graph, 2, "tiny")
    for name, values in constants.items():
        write_message(graph, 5, _tensor(name, values))
    for name in ("input_ids", *more_inputs):
        write_message(graph, 11, _value(name, _INT64))
    write_message(graph, 12, _value(output, _FLOAT))
    opset: list[bytes] = []
    write_varint(opset, 2, 17)
    model: list[bytes] = []
    write_varint(model, 1, 8)
    write_message(model, 7, graph)
    write_message(model, 8, opset)
    path.write_bytes(b"".join(model))


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: int) -> list[bytes]:
    node: list[bytes] = []
    for name in inputs:
        write_text(node, 1, name)
    write_text(node, 2, output)
    write_text(node, 4, operator)
    for name, value in attributes.items():
        attribute: list[bytes] = []
        write_text(attribute, 1, name)
        write_varint(attribute, 3, value)
        write_varint(attribute, 20, _INT_ATTRIBUTE)
        write_message(node, 5, attribute)
    return node


def _tensor(name: str, values: Constant) -> list[bytes]:
    tensor: list[bytes] = []
    for size in values.shape:
        write_varint(tensor, 1, size)
    write_varint(tensor, 2, _FLOAT if values.dtype == np.float32 else _INT64)
    write_text(tensor, 8, name)
    write_message(tensor, 9, [values.tobytes()])
    return tensor


def _value(name: str, element_type: int) -> list[bytes]:
    """An input or output of any shape."""
    kind: list[bytes] = []
    write_varint(kind, 1, element_type)
    boxed: list[bytes] = []
    write_message(boxed, 1, kind)
    value: list[bytes] = []
    write_text(value, 1, name)
    write_message(value, 2, boxed)
    return value
