"""A `vfnet_detector` without a network: see configs/noop.pbtxt."""

from __future__ import annotations

import json
import time
from time import monotonic_ns
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from vfnet_runtime.triton_models.detector_requests import DetectorRequests, ReceivedImage
from vfnet_runtime.triton_models.process_activity import ProcessActivity


class TritonPythonModel:
    """Any pixels -> the same candidates, as fractions of the image."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make the answer."""
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        rows, detections = int(parameters["candidates"]), int(parameters["detections"])
        self.seconds = float(parameters["milliseconds"]) / 1000
        self.fractions, self.scores = fixed_candidates(rows, detections)
        self.labels = np.zeros((1, rows), np.int32)
        self.activity = ProcessActivity()
        self.received = DetectorRequests(
            config["name"],
            parameters,
            config["max_batch_size"],
            self.activity.is_cancelled,
        )
        self.received.export_spans("none")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        images = self.received.receive(requests)
        responses = self.activity.answer_each(images, self.answer)
        for image, response in zip(images, responses, strict=True):
            self.received.leave(image, response)
            self.received.finish(image, response)
        self.received.end()
        return responses

    def answer(self, image: ReceivedImage) -> Any:
        """The candidates, in the pixels of this image."""
        if image.refusal is not None:
            return image.refusal
        started = monotonic_ns()
        if self.seconds:
            time.sleep(self.seconds)
        height, width = image.valid_shape[0]
        boxes = self.fractions * np.array([width, height, width, height], np.float32)
        image.was_computed(started, monotonic_ns())
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor("CANDIDATE_BOXES", boxes[None]),
                pb_utils.Tensor("CANDIDATE_SCORES", self.scores),
                pb_utils.Tensor("CANDIDATE_LABELS", self.labels),
            ]
        )

    def finalize(self) -> None:
        """Leave the count."""
        self.received.close()


def fixed_candidates(rows: int, detections: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The answer's boxes and scores.

    Returns:
        float32 [rows, 4], x1 y1 x2 y2 as fractions: `detections` columns beside each other, then zeros; and float32
        [1, rows], falling from 0.9 to 0.5, then 0.
    """
    boxes, scores = np.zeros((rows, 4), np.float32), np.zeros((1, rows), np.float32)
    left = np.arange(detections, dtype=np.float32) / max(1, detections)
    boxes[:detections] = np.stack(
        [left, np.full_like(left, 0.1), left + 0.5 / max(1, detections), np.full_like(left, 0.9)], axis=1
    )
    scores[0, :detections] = np.linspace(0.9, 0.5, detections, dtype=np.float32)
    return boxes, scores
