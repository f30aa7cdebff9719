"""An answer over REST: JSON, and after it the bytes of the tensors that were asked for in that form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from vfnet_gateway.kserve.public_models import VERSION
from vfnet_gateway.kserve.rest_request import RESTRequest
from vfnet_gateway.kserve.tensors_out import OutputTensor


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
