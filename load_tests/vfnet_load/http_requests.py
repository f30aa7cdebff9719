"""One image asked for over HTTP: what is posted to Triton and to `/score`, whatever posts it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from vfnet_client.detection_options import NO_OPTIONS
from vfnet_client.http_transport import infer_request
from vfnet_client.model_names import MODEL

SCORE_PATH = "/score"
_OUTPUTS = ("DETECTIONS",)


@dataclass(frozen=True)
class HTTPRequest:
    """A POST."""

    path: str
    headers: dict[str, str]
    """Beside those of the connection, such as the body's length."""
    body: bytes


def triton_path(model: str = MODEL) -> str:
    """Where Triton is asked for a model's detections."""
    return f"/v2/models/{model}/infer"


def triton_request(jpeg: bytes, priority: int = 0, model: str = MODEL) -> HTTPRequest:
    """KServe v2, the image as a binary tensor; 0 is Triton's default priority."""
    head, tensor = infer_request(jpeg, NO_OPTIONS, _OUTPUTS, priority)
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return HTTPRequest(triton_path(model), headers, head + tensor)


def score_request(jpeg: bytes) -> HTTPRequest:
    """AzureML's documented JSON, one image."""
    table = {"columns": ["image"], "data": [base64.b64encode(jpeg).decode()]}
    return HTTPRequest(SCORE_PATH, {"content-type": "application/json"}, json.dumps({"input_data": table}).encode())
