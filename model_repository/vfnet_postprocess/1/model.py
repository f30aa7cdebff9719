"""Triton's entry to `vfnet_postprocess`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from detections import detect
from error_responses import internal_error, invalid_argument
from process_activity import ProcessActivity
from tickets import TicketLedger, ledger_path


class TritonPythonModel:
    """Candidates -> detections; one request at a time, a few milliseconds each."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters and class names `vfnet build` wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        self.iou_threshold = float(parameters["iou_threshold"])
        self.max_per_img = int(parameters["max_per_img"])
        labels = Path(args["model_repository"]) / "labels.txt"
        self.classes = labels.read_text(encoding="utf-8").splitlines()
        self.ledger = TicketLedger(ledger_path())
        self.activity = ProcessActivity()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a failure is that request's alone."""
        return self.activity.answer_each(requests, self.answer)

    def answer(self, request: Any) -> Any:
        """The requested outputs of one image, or an error; either way there is room for another image."""
        try:
            return self.answer_image(request)
        finally:
            if (ticket := pb_utils.get_input_tensor_by_name(request, "TICKET")) is not None:
                self.ledger.give_back(int(ticket.as_numpy().reshape(-1)[0]))

    def answer_image(self, request: Any) -> Any:
        """See `answer`."""
        threshold = pb_utils.get_input_tensor_by_name(request, "SCORE_THRESHOLD")
        score_threshold = 0.0 if threshold is None else float(threshold.as_numpy().reshape(-1)[0])
        if not 0 <= score_threshold <= 1:
            return invalid_argument(f"SCORE_THRESHOLD must be within 0..1, not {score_threshold}")
        try:
            return pb_utils.InferenceResponse(output_tensors=self.postprocess(request, score_threshold))
        except Exception as error:
            return internal_error("the detections could not be postprocessed", error)

    def postprocess(self, request: Any, score_threshold: float) -> list[Any]:
        """Candidates and GEOMETRY -> DETECTIONS, BOXES, SCORES, LABELS, those the caller wants."""
        boxes, scores, labels, geometry = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0]
            for name in ("CANDIDATE_BOXES", "CANDIDATE_SCORES", "CANDIDATE_LABELS", "GEOMETRY")
        )
        width, height = float(geometry[0]), float(geometry[1])
        found = detect(boxes, scores, labels, geometry[2:], self.iou_threshold, self.max_per_img, score_threshold)
        wanted = set(request.requested_output_names())
        tensors = [
            pb_utils.Tensor("BOXES", found.boxes),
            pb_utils.Tensor("SCORES", found.scores),
            pb_utils.Tensor("LABELS", found.labels),
        ]
        if "DETECTIONS" in wanted:
            document = found.to_json(self.classes, width, height).encode()
            tensors.append(pb_utils.Tensor("DETECTIONS", np.array([document], np.object_)))
        return [tensor for tensor in tensors if tensor.name() in wanted]

    def finalize(self) -> None:
        """Leave the count."""
        self.ledger.close()
