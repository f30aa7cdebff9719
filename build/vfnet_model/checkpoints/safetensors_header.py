"""The header of a safetensors file: what it claims of each tensor, and the texts beside them.

A file is eight bytes, the length of its header; the header, JSON; and the numbers. The library of that name does not
read it here. It maps the file, so that one which is cut meanwhile ends the process, and takes a header of 100 MB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from vfnet_client.safe_text import printable_line
from vfnet_model.checkpoints.pickle_data import StorageRecord, TensorRecord

MAX_HEADER = 4 * 2**20
"""Bytes: room for 30,000 tensors; a network here has some 600."""
_LENGTH_BYTES = 8
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8",
}  # fmt: skip
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}
_MOST_SIDES = 8


class HeaderError(ValueError):
    """No header of a safetensors file; the message says what is wrong, as part of a sentence."""


class SafetensorsHeader(NamedTuple):
    """What a file claims."""

    tensors: dict[str, TensorRecord]
    extents: dict[str, tuple[int, int]]
    """By storage: where it starts in the file, and its bytes."""
    metadata: dict[str, str]


def is_safetensors(head: bytes) -> bool:
    """Whether a file may be one, by its first bytes."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return len(head) > _LENGTH_BYTES and 0 < length < 2**40 and head[_LENGTH_BYTES:].startswith(b"{")


def read_header(content: bytes, size: int) -> SafetensorsHeader:
    """Read and check the header.

    Args:
        content: the file's first bytes, as many as its header and those before it have, or `MAX_HEADER`.
        size: of the whole file, in bytes.

    Raises:
        HeaderError: it is none, or claims what the file cannot hold.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if length > MAX_HEADER:
        raise HeaderError(f"its header has {length:,} bytes; at most {MAX_HEADER:,} are read")
    if start > min(size, len(content)):
        raise HeaderError("it ends within its header")
    try:
        header = json.loads(content[_LENGTH_BYTES:start], object_pairs_hook=_without_repetition)
    except HeaderError:
        raise
    except (ValueError, RecursionError):
        raise HeaderError("its header is no JSON") from None
    if not isinstance(header, dict):
        raise HeaderError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, Mapping) or not all(isinstance(text, str) for text in metadata.values()):
        raise HeaderError("its metadata are no texts")
    tensors, extents = {}, {}
    for name, entry in header.items():
        record, begin, end = _tensor(name, entry)
        tensors[name], extents[name] = record, (start + begin, end - begin)
    _check_cover(extents, start, size)
    return SafetensorsHeader(tensors, extents, dict(metadata))


def _tensor(name: str, entry: Any) -> tuple[TensorRecord, int, int]:
    shown = repr(printable_line(name, 80))
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and 0 <= number < 2**48 for number in (*shape, begin, end))
        if not isinstance(kind, str) or not whole or len(shape) > _MOST_SIDES:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise HeaderError(f"its header does not say where tensor {shown} is") from None
    if kind not in _DTYPES:
        raise HeaderError(f"tensor {shown} is of the type {printable_line(kind, 20)!r}, which no weight has")
    elements = math.prod(shape)
    if end - begin != elements * _BYTES[kind]:
        raise HeaderError(f"tensor {shown} claims {elements:,} numbers, its place has {end - begin:,} bytes")
    stride = tuple(math.prod(shape[side + 1 :]) for side in range(len(shape)))
    dtype = _DTYPES[kind]
    return TensorRecord(StorageRecord(name, dtype, elements), dtype, 0, tuple(shape), stride), begin, end


def _check_cover(extents: Mapping[str, tuple[int, int]], start: int, size: int) -> None:
    """That tensors lie one behind the other, as the format wants it: none shares its numbers, nothing is hidden."""
    for begin, length in sorted(extents.values()):
        if begin != start:
            raise HeaderError("its tensors overlap or leave gaps")
        start += length
    if start != size:
        raise HeaderError(f"its tensors end at byte {start:,}, and the file has {size:,}")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HeaderError("its header says something twice")
    return found
