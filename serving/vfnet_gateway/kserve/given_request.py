"""An inference request as its caller gave it: what both protocols are brought into before it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vfnet_client.exceptions import RequestError

LENGTH_PREFIX = 4
"""Bytes before each element of a BYTES tensor in binary form: its length, little-endian."""
Content = bytes | memoryview | Sequence[Any]
"""A tensor's bytes in binary form, or its elements: `bytes` or `str` of BYTES, numbers of FP32 and INT32."""


@dataclass(frozen=True)
class GivenTensor:
    """An input as the caller gave it; `name` and `datatype` are text, `shape` holds integers."""

    name: str
    datatype: str
    shape: Sequence[int]
    content: Content
    parameters: Mapping[str, object] = field(default_factory=dict)
    """Those that the protocol has not used itself."""


@dataclass(frozen=True)
class GivenOutput:
    """An output as the caller asked for it."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    """Those that the protocol has not used itself."""


@dataclass(frozen=True)
class GivenRequest:
    """An inference request as the caller sent it."""

    id: str
    inputs: Sequence[GivenTensor]
    outputs: Sequence[GivenOutput]
    """None means all."""
    parameters: Mapping[str, object]
    """Those that the protocol has not used itself."""


def one_element(tensor: GivenTensor) -> Any:
    """The only element of a tensor that is not in binary form. Raises RequestError, 400: there is none, or another."""
    if len(tensor.content) != 1:
        raise RequestError(400, f"input {tensor.name} holds one element, not {len(tensor.content)}")
    return tensor.content[0]
