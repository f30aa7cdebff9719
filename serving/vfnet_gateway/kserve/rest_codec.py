"""REST's form of a request and of an answer: JSON, and after it the bytes of the tensors that are not in the JSON."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from vfnet_client.exceptions import RequestError
from vfnet_gateway.kserve.given_request import Content, GivenOutput, GivenRequest, GivenTensor
from vfnet_gateway.kserve.public_interface import VERSION, OutputTensor, shown

HEADER_LENGTH = "inference-header-content-length"
CONTENT_TYPES = ("application/json", "application/octet-stream")
_MOST_INPUTS, _MOST_OUTPUTS, _MOST_DIMENSIONS, _MOST_PARAMETERS = 16, 16, 16, 32
_LARGEST_INTEGER = 2**63
DEEPEST = 16
"""Objects and arrays within each other; a request that anybody needs has five."""
MOST_BYTES_BETWEEN_STRINGS = 1 << 16
MOST_STRINGS = 2000
_MOST_BACKSLASHES = 256
"""Before a quote: they are counted one by one."""
_MARK = re.compile(rb'["\[\]{}]')


@dataclass(frozen=True)
class RESTRequest:
    """A request, and in which form its answer is wanted."""

    given: GivenRequest
    binary: Mapping[str, bool]
    """By output, whether it is wanted as bytes after the JSON rather than in it; those not named: `binary_default`."""
    binary_default: bool


def check_content_type(content_type: str | None) -> None:
    """Raise RequestError, 415, for a body that is neither the protocol's JSON nor its JSON with bytes behind."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() not in CONTENT_TYPES:
        raise RequestError(415, f"the body is of type {' or '.join(CONTENT_TYPES)}")


def parse(body: bytes | bytearray, header_length: str | None) -> RESTRequest:
    """Takes a body apart; its values are as the caller gave them, of the types that `GivenRequest` says.

    Args:
        header_length: the header of that name: how many bytes at the body's beginning are JSON; None: all.

    Raises:
        RequestError: 400.
    """
    size = _json_size(header_length, len(body))
    document = _json(body if size == len(body) else body[:size])
    tail = memoryview(body)[size:].toreadonly()
    parameters = _parameters(document, "the request")
    default = _boolean(parameters.pop("binary_data_output", False), "binary_data_output")
    inputs, used = [], 0
    for entry in _objects(document.get("inputs"), "inputs", _MOST_INPUTS):
        tensor, length = _input(entry, tail[used:])
        inputs.append(tensor)
        used += length
    if used != len(tail):
        raise RequestError(400, f"the inputs' binary_data_size add up to {used}, and {len(tail)} bytes follow the JSON")
    outputs, binary = [], {}
    for entry in _objects(document.get("outputs", []), "outputs", _MOST_OUTPUTS):
        name, of_output = _text(entry, "name", "an output"), _parameters(entry, "an output")
        if "binary_data" in of_output:
            binary[name] = _boolean(of_output.pop("binary_data"), "binary_data")
        outputs.append(GivenOutput(name, of_output))
    given = GivenRequest(_text(document, "id", "the request", default=""), inputs, outputs, parameters)
    return RESTRequest(given, binary, default)


def _json_size(header_length: str | None, body_size: int) -> int:
    if header_length is None:
        return body_size
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 12):
        raise RequestError(400, "Inference-Header-Content-Length is not a number of bytes")
    if int(header_length) > body_size:
        raise RequestError(400, f"Inference-Header-Content-Length is larger than the body's {body_size} bytes")
    return int(header_length)


def _json(text: bytes | bytearray) -> dict[str, Any]:
    check_structure(text)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the request is not JSON: {error.msg} at byte {error.pos}") from error
    if not isinstance(document, dict):
        raise RequestError(400, "the request is not a JSON object")
    return document


def _input(entry: dict[str, Any], tail: memoryview) -> tuple[GivenTensor, int]:
    """The tensor, and how many of the bytes after the JSON are its own."""
    name = _text(entry, "name", "an input")
    parameters = _parameters(entry, "an input")
    size = parameters.pop("binary_data_size", None)
    encoding = parameters.pop("content_type", None)
    datatype, shape = _text(entry, "datatype", "an input"), _shape(entry)
    if size is None:
        return GivenTensor(name, datatype, shape, _data(entry, encoding), parameters), 0
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(tail):
        raise RequestError(400, f"binary_data_size of input {shown(name)} is not a number of bytes that are there")
    if "data" in entry:
        raise RequestError(400, f"input {shown(name)} has both data and binary_data_size")
    return GivenTensor(name, datatype, shape, tail[:size], parameters), size


def _data(entry: dict[str, Any], encoding: object) -> Content:
    data = entry.get("data")
    if not isinstance(data, list):
        raise RequestError(400, f"data of input {shown(entry['name'])} is not a list")
    if encoding is None:
        return data
    # What Open Inference Protocol's servers call it, because JSON has no way to hold bytes.
    if encoding != "base64":
        raise RequestError(400, f"content_type of input {shown(entry['name'])} is not base64, the one that is known")
    try:
        return [base64.b64decode(element.encode("ascii"), validate=True) for element in data]
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise RequestError(400, f"data of input {shown(entry['name'])} is not base64") from None


def _shape(entry: dict[str, Any]) -> list[int]:
    shape = entry.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(isinstance(each, int) and not isinstance(each, bool) for each in shape)
        or not all(abs(each) < _LARGEST_INTEGER for each in shape)
    ):
        raise RequestError(400, f"shape of input {shown(entry['name'])} is not a list of whole numbers")
    return shape


def _objects(value: object, what: str, most: int) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise RequestError(400, f"{what} is not a list of objects")
    if len(value) > most:
        raise RequestError(400, f"{what} has {len(value)} entries, more than the {most} allowed")
    return value


def _text(entry: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise RequestError(400, f"{key} of {where} is not a string")
    return value


def _parameters(entry: dict[str, Any], where: str) -> dict[str, object]:
    parameters = entry.get("parameters", {})
    if not isinstance(parameters, dict) or len(parameters) > _MOST_PARAMETERS:
        raise RequestError(400, f"parameters of {where} is not an object of at most {_MOST_PARAMETERS}")
    return dict(parameters)


def _boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(400, f"parameter {name} is not true or false")
    return value


def check_structure(text: bytes | bytearray) -> None:
    """Let JSON pass whose parsing costs no more than its strings.

    Takes time for strings and their quotes only by the length that `bytes.find` needs, and for anything else to the
    limits: a body of brackets, of numbers or of white space is refused at its beginning.

    Raises:
        RequestError: 400.
    """
    position = depth = strings = 0
    left = MOST_BYTES_BETWEEN_STRINGS
    while position < len(text):
        found = _MARK.search(text, position, position + left)
        if found is None:
            if len(text) - position > left:
                raise RequestError(400, "the request's JSON has more to it than an inference request needs")
            return
        left -= found.end() - position
        position = found.end()
        mark = found[0]
        if mark == b'"':
            strings += 1
            position = _end_of_string(text, position, MOST_STRINGS - strings)
            if strings > MOST_STRINGS or position < 0:
                raise RequestError(
                    400, "the request's JSON has more strings or escapes than an inference request needs"
                )
        else:
            depth += 1 if mark in b"[{" else -1
            if depth > DEEPEST:
                raise RequestError(400, f"the request's JSON nests deeper than {DEEPEST} levels")


def _end_of_string(text: bytes | bytearray, start: int, most_escaped_quotes: int) -> int:
    """The position after a string's closing quote; the text's end where there is none; -1 beyond so many escapes."""
    position = start
    for _ in range(most_escaped_quotes + 1):
        quote = text.find(b'"', position)
        if quote < 0:
            return len(text)
        backslashes = 0
        while quote - backslashes > position and text[quote - backslashes - 1] == 0x5C:
            backslashes += 1
            if backslashes > _MOST_BACKSLASHES:
                return -1
        position = quote + 1
        if backslashes % 2 == 0:
            return position
    return -1


def respond(model: str, request: RESTRequest, tensors: Sequence[OutputTensor]) -> Response:
    """The answer to an inference."""
    outputs, tail = [], []
    for tensor in tensors:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if request.binary.get(tensor.name, request.binary_default):
            output["parameters"] = {"binary_data_size": len(tensor.raw)}
            tail.append(tensor.raw)
        else:
            output["data"] = tensor.values()
        outputs.append(output)
    identity = {"id": request.given.id} if request.given.id else {}
    head = orjson.dumps({**identity, "model_name": model, "model_version": VERSION, "outputs": outputs})
    if not tail:
        return Response(head, media_type="application/json")
    headers = {"inference-header-content-length": str(len(head))}
    return Response(b"".join([head, *tail]), headers=headers, media_type="application/octet-stream")
