"""What a caller asks for, checked: the same for both protocols.

The protocols' own modules bring a request into the form of `GivenRequest`; `check` turns that into a `CheckedRequest`,
whose values are all that goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import RequestError
from vfnet_client.safe_text import is_printable_line
from vfnet_gateway.admission import Priority
from vfnet_gateway.kserve.given_request import LENGTH_PREFIX, GivenOutput, GivenRequest, GivenTensor, one_element
from vfnet_gateway.kserve.option_tensors import options_of
from vfnet_gateway.kserve.public_interface import IMAGE, INPUTS, OUTPUTS, TensorSpecification, shown

LONGEST_ID = 100
_MICROSECONDS = 1e6
_LONGEST_TIMEOUT_US = 2**63


@dataclass(frozen=True)
class CheckedRequest:
    """An inference request that can be carried out."""

    id: str
    image: bytes
    options: DetectionOptions
    outputs: tuple[str, ...]
    priority: Priority | None
    """None where the request does not say."""
    timeout: float | None
    """Seconds that the caller allows; None where it does not say."""


def check(request: GivenRequest, max_image_bytes: int) -> CheckedRequest:
    """A request's values.

    Raises:
        RequestError: 400 with what is wrong, 413 for too large an image.
    """
    check_id(request.id)
    tensors = _by_name(request.inputs)
    for name, tensor in tensors.items():
        _refuse_parameters(tensor.parameters, f"input {name}")
    if IMAGE.name not in tensors:
        raise RequestError(400, f"the request has no input {IMAGE.name}")
    return CheckedRequest(
        id=request.id,
        image=_image(tensors[IMAGE.name], max_image_bytes),
        options=options_of(tensors),
        outputs=_output_names(request.outputs),
        **_parameters(request.parameters),
    )


def check_id(text: str) -> None:
    """Raise RequestError, 400, for a request's id that cannot be echoed as it is."""
    if len(text) > LONGEST_ID or not is_printable_line(text):
        raise RequestError(400, f"a request's id is one printable line of at most {LONGEST_ID} characters")


def _by_name(inputs: Sequence[GivenTensor]) -> dict[str, GivenTensor]:
    known = {tensor.name: tensor for tensor in INPUTS}
    found: dict[str, GivenTensor] = {}
    for tensor in inputs:
        specification = known.get(tensor.name)
        if specification is None:
            raise RequestError(400, f"there is no input {shown(tensor.name)}; there are: {', '.join(known)}")
        if tensor.name in found:
            raise RequestError(400, f"input {tensor.name} is there twice")
        _check_kind(tensor, specification)
        found[tensor.name] = tensor
    return found


def _check_kind(tensor: GivenTensor, specification: TensorSpecification) -> None:
    if tensor.datatype != specification.datatype:
        raise RequestError(
            400, f"input {tensor.name} is of datatype {specification.datatype}, not {shown(tensor.datatype)}"
        )
    shape, wanted = tuple(tensor.shape), specification.shape
    if shape != wanted and not (wanted == (-1,) and len(shape) == 1):
        why = ": a request holds one image" if wanted == (1,) else ""
        raise RequestError(
            400, f"input {tensor.name} has the shape {list(wanted)}, not {shown(list(tensor.shape[:8]))}{why}"
        )


def _image(tensor: GivenTensor, max_bytes: int) -> bytes:
    content = tensor.content
    if isinstance(content, bytes | memoryview):
        announced = int.from_bytes(content[:LENGTH_PREFIX], "little")
        if len(content) < LENGTH_PREFIX or announced != len(content) - LENGTH_PREFIX:
            raise RequestError(
                400,
                f"input {tensor.name} of {len(content)} bytes is not one element: the element's length in 4 bytes, "
                "little-endian, and the element",
            )
        view = memoryview(content)[LENGTH_PREFIX:]
        _check_size(tensor.name, len(view), max_bytes)
        return bytes(view)
    element = one_element(tensor)
    image = element.encode() if isinstance(element, str) else element
    if not isinstance(image, bytes):
        raise RequestError(400, f"input {tensor.name} holds a string, not {shown(type(element).__name__)}")
    _check_size(tensor.name, len(image), max_bytes)
    return image


def _check_size(name: str, size: int, max_bytes: int) -> None:
    if not size:
        raise RequestError(400, f"input {name} is empty: it holds an encoded image")
    if size > max_bytes:
        raise RequestError(413, f"the image has {size} bytes, more than the {max_bytes} allowed")


def _output_names(outputs: Sequence[GivenOutput]) -> tuple[str, ...]:
    known = [tensor.name for tensor in OUTPUTS]
    names: list[str] = []
    for output in outputs:
        if output.name not in known:
            raise RequestError(400, f"there is no output {shown(output.name)}; there are: {', '.join(known)}")
        if output.name in names:
            raise RequestError(400, f"output {output.name} is asked for twice")
        _refuse_parameters(output.parameters, f"output {output.name}")
        names.append(output.name)
    return tuple(names or known)


def _parameters(parameters: Mapping[str, object]) -> dict[str, Any]:
    known = {"priority": parameters.get("priority", 0), "timeout": parameters.get("timeout", 0)}
    _refuse_parameters({name: value for name, value in parameters.items() if name not in known}, "the request")
    priority, timeout = known["priority"], known["timeout"]
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in (0, *Priority):
        named = ", ".join(f"{each.value} ({each.name.lower()})" for each in Priority)
        raise RequestError(400, f"parameter priority is one of {named}, or 0 for the usual one")
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout < _LONGEST_TIMEOUT_US:
        raise RequestError(400, "parameter timeout is a whole number of microseconds, or 0 for none")
    return {
        "priority": Priority(priority) if priority else None,
        "timeout": timeout / _MICROSECONDS if timeout else None,
    }


def _refuse_parameters(parameters: Mapping[str, object], where: str) -> None:
    """Raise RequestError, 400, if there are any: whoever sends one wants something of it."""
    for name in parameters:
        if name.startswith("shared_memory"):
            why = "shared memory is not offered: send the bytes in the request"
        elif name.startswith("sequence"):
            why = "the models keep no sequences"
        elif name == "classification":
            why = "ask for LABELS and SCORES instead"
        elif name == "binary_data_size":
            why = "it belongs to inputs over HTTP whose bytes follow the JSON"
        else:
            why = "it is not known"
        raise RequestError(400, f"{where} has the parameter {shown(name)}: {why}")


def bounded_timeout(*seconds: float | None) -> float:
    """The shortest of the times that are given."""
    return min(math.inf, *(each for each in seconds if each is not None))
