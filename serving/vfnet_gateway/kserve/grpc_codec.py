"""KServe v2's protobuf messages: from an inference request, and to what the gateway answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2, service_pb2

from vfnet_client.exceptions import RequestError
from vfnet_gateway.kserve.given_request import Content, GivenOutput, GivenRequest, GivenTensor
from vfnet_gateway.kserve.public_interface import VERSION, OutputTensor, shown

M = TypeVar("M")
_CONTENTS = {"BYTES": "bytes_contents", "FP32": "fp32_contents", "INT32": "int_contents"}
_MOST_ENTRIES = 32
FINAL_RESPONSE_WANTED = "triton_enable_empty_final_response"
"""A parameter for models with several answers to a request. Each of ours is the last, and a stream's say so."""
FINAL_RESPONSE = "triton_final_response"
DEPLOYMENT = "deployment"
"""A parameter of answers: which deployment gave it, where requests are shared out."""


def parse(kind: type[M], message: bytes) -> M:
    """A message of this kind.

    Raises:
        RequestError: 400.
    """
    try:
        return kind.FromString(message)  # type: ignore[attr-defined,no-any-return]
    except DecodeError as error:
        raise RequestError(400, f"the message is no {kind.__name__}") from error


def given(request: Any) -> GivenRequest:
    """What a `ModelInferRequest` holds.

    Raises:
        RequestError: 400.
    """
    entries = (request.inputs, request.outputs, request.raw_input_contents, request.parameters)
    if any(len(each) > _MOST_ENTRIES for each in entries):
        raise RequestError(400, f"the request has more than {_MOST_ENTRIES} inputs, outputs or parameters")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(400, f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs")
    return GivenRequest(
        request.id,
        [_tensor(tensor, raw[i] if raw else None) for i, tensor in enumerate(request.inputs)],
        [
            GivenOutput(output.name, _without(_parameters(output.parameters), "binary_data"))
            for output in request.outputs
        ],
        _without(_without(_parameters(request.parameters), "binary_data_output"), FINAL_RESPONSE_WANTED),
    )


def _tensor(tensor: Any, raw: bytes | None) -> GivenTensor:
    if len(tensor.shape) > _MOST_ENTRIES:
        raise RequestError(400, f"input {shown(tensor.name)} has {len(tensor.shape)} dimensions")
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    content: Content
    if raw is not None:
        if filled:
            raise RequestError(400, f"input {shown(tensor.name)} has contents beside raw_input_contents")
        content = raw
    else:
        field = _CONTENTS.get(tensor.datatype, "bytes_contents")
        if filled not in ([], [field]):
            raise RequestError(400, f"input {shown(tensor.name)} of datatype {shown(tensor.datatype)} has {filled[0]}")
        content = getattr(tensor.contents, field)
    parameters = _without(_parameters(tensor.parameters), "binary_data_size", None if raw is None else len(raw))
    return GivenTensor(tensor.name, tensor.datatype, tensor.shape, content, parameters)


def _without(parameters: dict[str, object], of_rest: str, value: object = True) -> dict[str, object]:
    """Without what says nothing new: KServe's client sends REST's parameters over gRPC too, perf_analyzer its own."""
    if of_rest in parameters and parameters[of_rest] in (value, False):
        del parameters[of_rest]
    return parameters


def _parameters(parameters: Any) -> dict[str, object]:
    """By name. The kinds differ between clients' versions: whichever is set counts."""
    if len(parameters) > _MOST_ENTRIES:
        raise RequestError(400, f"more than {_MOST_ENTRIES} parameters")
    kinds = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: None if kind is None else getattr(value, kind) for name, value, kind in kinds}


def infer_response(model: str, request_id: str, tensors: Sequence[OutputTensor], deployment: str | None = None) -> Any:
    """The answer to an inference, its tensors in binary form; over HTTP a header says which deployment it is of."""
    response = service_pb2.ModelInferResponse(model_name=model, model_version=VERSION, id=request_id)
    if deployment is not None:
        response.parameters[DEPLOYMENT].string_param = deployment
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(tensor.raw)
    return response


def metadata_response(metadata: Mapping[str, Any]) -> Any:
    """`PublicModels.metadata` as a message."""
    return service_pb2.ModelMetadataResponse(**metadata)


def config_response(config: Mapping[str, Any]) -> Any:
    """`PublicModels.config` as a message."""
    message = model_config_pb2.ModelConfig(
        name=config["name"], platform=config["platform"], backend=config["backend"],
        max_batch_size=config["max_batch_size"],
    )  # fmt: skip
    message.version_policy.latest.num_versions = 1
    for tensor in config["input"]:
        message.input.add(**tensor)
    for tensor in config["output"]:
        message.output.add(**tensor)
    return service_pb2.ModelConfigResponse(config=message)
