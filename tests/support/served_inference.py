"""Inference requests to a served repository with Triton's own clients."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from box_matching import DetectionSet
from triton_server import ServedRepository

ARRAYS = ("BOXES", "SCORES", "LABELS")
"""What a `DetectionSet` is made of."""
OPTION_TYPES = {
    "score_threshold": ("FP32", np.float32),
    "classes": ("BYTES", np.object_),
    "max_detections": ("INT32", np.int32),
    "nms_iou": ("FP32", np.float32),
}
"""The ensemble's optional inputs, which are called so in capitals: KServe's and NumPy's types."""
EVERY_OUTPUT = ("DETECTIONS", *ARRAYS)
"""All that the ensemble answers, in the order in which it is told."""


def infer(
    served: ServedRepository,
    image: bytes,
    outputs: tuple[str, ...] = ARRAYS,
    *,
    protocol: str = "grpc",
    model: str = "vfnet",
    **options: Any,
) -> dict[str, np.ndarray]:
    """One request for the outputs named, with what `DetectionOptions.chosen` takes, unchecked."""
    module: Any = getattr(tritonclient, protocol)
    client = module.InferenceServerClient(f"127.0.0.1:{getattr(served, f'{protocol}_port')}")
    try:
        inputs = [module.InferInput("IMAGE", [1], "BYTES")]
        inputs[0].set_data_from_numpy(np.array([image], np.object_))
        for name, value in options.items():
            datatype, dtype = OPTION_TYPES[name]
            values = np.array([each.encode() for each in value] if name == "classes" else [value], dtype)
            inputs.append(module.InferInput(name.upper(), list(values.shape), datatype))
            inputs[-1].set_data_from_numpy(values)
        requested = [module.InferRequestedOutput(name) for name in outputs]
        result = client.infer(model, inputs, outputs=requested)
        return {name: result.as_numpy(name) for name in outputs}
    finally:
        client.close()


def detect(served: ServedRepository, image: bytes, **options: Any) -> DetectionSet:
    """One image's boxes, scores and labels."""
    found = infer(served, image, **options)
    return DetectionSet(*(found[name] for name in ARRAYS))


def document(served: ServedRepository, image: bytes, **options: Any) -> dict[str, Any]:
    """One image's JSON object."""
    text = infer(served, image, ("DETECTIONS",), **options)["DETECTIONS"][0]
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def serves(served: ServedRepository, image: bytes) -> bool:
    """Whether it answers one request, asked once."""
    try:
        document(served, image)
    except InferenceServerException:
        return False
    return True
