"""The optional inputs of an inference request: what its caller wants otherwise than the model was built."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from vfnet_client.detection_options import MOST_CLASSES, DetectionOptions, check_option
from vfnet_client.exceptions import RequestError
from vfnet_gateway.kserve.given_request import LENGTH_PREFIX, GivenTensor, one_element
from vfnet_gateway.kserve.public_interface import OPTIONS, shown

_FORMATS = {"FP32": "<f", "INT32": "<i"}


def options_of(tensors: Mapping[str, GivenTensor]) -> DetectionOptions:
    """The options among a request's tensors, by name; kinds and shapes are what the interface says.

    Raises:
        RequestError: 400, with a sentence that names the input.
    """
    chosen = {}
    for option, specification in OPTIONS.items():
        tensor = tensors.get(specification.name)
        if tensor is not None:
            value = _texts(tensor) if specification.datatype == "BYTES" else _number(tensor)
            try:
                chosen[option] = check_option(option, value, f"input {tensor.name}")
            except ValueError as error:
                raise RequestError(400, str(error)) from error
    return DetectionOptions(**chosen)


def _number(tensor: GivenTensor) -> Any:
    content = tensor.content
    if isinstance(content, bytes | memoryview):
        form = _FORMATS[tensor.datatype]
        if len(content) != struct.calcsize(form):
            raise RequestError(400, f"input {tensor.name} of {len(content)} bytes is not one {tensor.datatype}")
        return struct.unpack(form, content)[0]
    value = one_element(tensor)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(400, f"input {tensor.name} holds a number, not {shown(type(value).__name__)}")
    return value


def _texts(tensor: GivenTensor) -> list[str]:
    content = tensor.content
    count, found = tensor.shape[0], list[str]()
    if count > MOST_CLASSES:
        raise RequestError(400, f"input {tensor.name} has more entries than the {MOST_CLASSES} that a model may have")
    elements = _elements(tensor.name, content) if isinstance(content, bytes | memoryview) else iter(content)
    for element in elements:
        if len(found) == count:
            break
        found.append(_text(tensor.name, element))
    else:
        if len(found) == count:
            return found
    raise RequestError(400, f"input {tensor.name} does not hold the {shown(count)} elements that its shape says")


def _elements(name: str, content: bytes | memoryview) -> Iterator[bytes]:
    """Of a BYTES tensor in binary form."""
    position = 0
    while position < len(content):
        start = position + LENGTH_PREFIX
        position = start + int.from_bytes(content[position:start], "little")
        if start > len(content) or position > len(content):
            raise RequestError(
                400, f"input {name} ends within an element: each is its length in 4 bytes, little-endian, and its text"
            )
        yield bytes(content[start:position])


def _text(name: str, element: object) -> str:
    if isinstance(element, str):
        return element
    if not isinstance(element, bytes):
        raise RequestError(400, f"input {name} holds texts, not {shown(type(element).__name__)}")
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise RequestError(400, f"input {name} holds a text that is no UTF-8") from None
