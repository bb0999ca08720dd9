"""Which bytes of the weights an inference reads: all, but for tables whose rows are looked up.

A table of embeddings may be most of a text encoder, and an inference reads the few rows of its tokens. Imported only if the
memory limit is below the size of the image's files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from entrypoints.manifest.values import ByteRanges, TorchComponent

PLAIN_LOOKUP, QUANTIZED_LOOKUP = "Gather", "GatherBlockQuantized"
"""Operators that read rows of their first input. The quantized one has scales and zero points as its third and fourth."""
EMBEDDING = re.compile(r"embed|wte|shared\.weight")
"""In the name of a published tensor that torch serves: no graph says how it is used."""
DTYPE_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16}
"""By the dtype of safetensors; 8 for the others."""
PRECISION_BITS = {"fp32": 32, "fp16": 16, "bf16": 16}
MAX_HEADER_BYTES = 100_000_000

# Field numbers of onnx.proto3
GRAPH, NODE, INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 4, 5
ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 6, 11
TENSOR_NAME, TENSOR_EXTERNAL_DATA = 8, 13
ENTRY_KEY, ENTRY_VALUE = 1, 2


class External(NamedTuple):
    """The bytes of an initializer. ``location``: its file, relative to the folder of the graph's weights."""

    location: str
    offset: int
    length: int


def list_dense_graph_ranges(models: Path, graph: str, weights_folder: str, ranges: ByteRanges) -> ByteRanges:
    """The (offset, length) ranges of the weights without tables that are only looked up; all of ``ranges`` if the graph cannot be
    read: opening it reports that."""
    try:
        tables = list_tables((models / graph).read_bytes())
    except (OSError, ValueError, IndexError):
        return ranges
    folder = Path(weights_folder) if weights_folder else Path(graph).parent
    left_out: dict[str, list[External]] = {}
    for table in tables:
        left_out.setdefault(join(folder, table.location), []).append(table)
    return {file: tuple(subtract(each, left_out.get(file, []))) for file, each in ranges.items()}


def join(folder: Path, location: str) -> str:
    """The path under the models folder; a location may lead up (``../shared/model.bin``)."""
    parts: list[str] = []
    for part in (folder / location).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def subtract(ranges: tuple[tuple[int, int], ...], left_out: list[External]) -> Iterator[tuple[int, int]]:
    """Ranges without those parts. The builder joins neighbours, so that a table may be a part of a range."""
    holes = sorted((table.offset, table.offset + table.length) for table in left_out)
    for offset, length in ranges:
        start, end = offset, offset + length
        for low, high in holes:
            if start <= low and high <= end:
                if low > start:
                    yield start, low - start
                start = high
        if end > start:
            yield start, end - start


def list_tables(model: bytes) -> list[External]:
    """The external initializers that only lookups read. Raises ValueError or IndexError for bytes that are no ONNX model."""
    looked_up: set[str] = set()
    computed: set[str] = set()
    external: dict[str, External] = {}
    for graph in select(memoryview(model), GRAPH):
        read_graph(graph, looked_up, computed, external)
    return [external[name] for name in looked_up - computed if name in external]


def read_graph(graph: memoryview, looked_up: set[str], computed: set[str], external: dict[str, External]) -> None:
    """Fill the three by the nodes and initializers of a graph, and of the graphs in its nodes (branches, loops)."""
    for node in select(graph, NODE):
        rows, others = divide_inputs(node)
        looked_up.update(rows)
        computed.update(others)
        for attribute in select(node, NODE_ATTRIBUTE):
            for number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                for inner in select(attribute, number):
                    read_graph(inner, looked_up, computed, external)
    for tensor in select(graph, INITIALIZER):
        entries = {
            decode(next(select(entry, ENTRY_KEY))): decode(next(select(entry, ENTRY_VALUE)))
            for entry in select(tensor, TENSOR_EXTERNAL_DATA)
        }
        if "location" in entries and "length" in entries:
            name = decode(next(select(tensor, TENSOR_NAME)))
            external[name] = External(entries["location"], int(entries.get("offset", 0)), int(entries["length"]))


def divide_inputs(node: memoryview) -> tuple[list[str], list[str]]:
    """The names of the inputs whose rows the node looks up, and of those that it reads whole."""
    operator = next((decode(value) for value in select(node, NODE_OPERATOR)), "")
    inputs = [decode(value) for value in select(node, NODE_INPUT)]
    if operator == PLAIN_LOOKUP:
        return inputs[:1], inputs[1:]
    if operator == QUANTIZED_LOOKUP:
        return [*inputs[:1], *inputs[2:]], inputs[1:2]
    return [], inputs


def decode(value: memoryview) -> str:
    return str(value, "utf-8")


def select(message: memoryview, number: int) -> Iterator[memoryview]:
    """The values of one field of a message, if they are bytes, text or messages (protobuf.dev/programming-guides/encoding)."""
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        kind = tag & 7
        if kind == 0:
            _, position = read_varint(message, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        elif kind == 2:
            length, position = read_varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than its message")
            if tag >> 3 == number:
                yield message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of kind {kind}")


def read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number, and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position


def list_dense_tensor_ranges(models: Path, component: TorchComponent) -> ByteRanges:
    """The ranges of the component's weights that torch keeps: no embeddings, and a part of the length of a tensor that is
    converted to a smaller precision."""
    found = {}
    for file, ranges in component.byte_ranges.items():
        try:
            found[file] = tuple(list_tensor_ranges(models / file, PRECISION_BITS[component.precision]))
        except (OSError, ValueError, KeyError, TypeError):
            found[file] = ranges
    return found


def list_tensor_ranges(path: Path, precision_bits: int) -> Iterator[tuple[int, int]]:
    """By the header of a safetensors file. Raises ValueError, KeyError or TypeError if it is none."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("no safetensors file")
        header: Mapping[str, Any] = json.loads(file.read(length))
    for name, tensor in header.items():
        if name == "__metadata__" or EMBEDDING.search(name):
            continue
        begin, end = tensor["data_offsets"]
        published = DTYPE_BITS.get(str(tensor["dtype"]), 8)
        yield 8 + length + begin, (end - begin) * min(published, precision_bits) // published
