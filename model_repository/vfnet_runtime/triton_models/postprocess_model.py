"""`vfnet_postprocess`: candidates -> the box schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from vfnet_runtime.answers import detect
from vfnet_runtime.step_times import SUPPRESS, WRITE, ImageSteps, StepTimes
from vfnet_runtime.suppression import ClassNames, Suppression
from vfnet_runtime.tickets import TicketLedger, ledger_path
from vfnet_runtime.triton_models import checked_inputs
from vfnet_runtime.triton_models.answer_about import AnswerAbout
from vfnet_runtime.triton_models.bounded_elements import read_at_most
from vfnet_runtime.triton_models.checked_inputs import InvalidInputError
from vfnet_runtime.triton_models.process_activity import ProcessActivity
from vfnet_runtime.triton_models.requested_suppression import requested_suppression
from vfnet_runtime.triton_models.responses import error_of, internal_error, invalid_argument
from vfnet_runtime.triton_models.step_histograms import ENSEMBLE, OF_POSTPROCESS, POSTPROCESS, StepHistograms
from vfnet_runtime.triton_models.step_spans import export_spans


class TritonPythonModel:
    """Candidates -> detections; one request at a time, a few milliseconds each."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters and class names `vfnet build` wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        self.suppression = Suppression(float(parameters["iou_threshold"]), int(parameters["max_per_img"]))
        self.max_candidates = int(parameters["max_candidates"])
        labels = Path(args["model_repository"]) / "labels.txt"
        self.classes = labels.read_text(encoding="utf-8-sig").splitlines()
        self.class_names = ClassNames(self.classes)
        read_at_most(len(self.classes), pb_utils)
        self.ledger = TicketLedger(ledger_path(args["model_name"]))
        self.about = AnswerAbout(args["model_name"], parameters.get("checkpoint", ""), self.ledger)
        self.activity = ProcessActivity()
        self.step_times = StepTimes(args["model_name"], pb_utils.Logger.log_warn)
        self.histograms = StepHistograms(args["model_name"], OF_POSTPROCESS, POSTPROCESS)
        self.step_times.listeners.append(self.histograms.told)
        self.spans = export_spans(self.step_times)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a failure is that request's alone."""
        return self.activity.answer_each(requests, self.answer)

    def answer(self, request: Any) -> Any:
        """The requested outputs of one image, or an error; either way there is room for another image."""
        steps = self.step_times.image(request)
        response = self.answer_measured(request, steps)
        self.step_times.finish(steps, error_of(response))
        return response

    def answer_measured(self, request: Any, steps: ImageSteps) -> Any:
        """See `answer`."""
        try:
            ticket = checked_inputs.ticket(request)
        except InvalidInputError as error:
            return invalid_argument(str(error))
        try:
            response = pb_utils.InferenceResponse(output_tensors=self.postprocess(request, steps, ticket))
            if (ages := self.ledger.ages(ticket)) is not None:
                self.histograms.count(ENSEMBLE, ages.inside)
            return response
        except InvalidInputError as error:
            return invalid_argument(str(error))
        except Exception as error:
            return internal_error("the detections could not be postprocessed", error, request)
        finally:
            self.ledger.give_back(ticket)

    def postprocess(self, request: Any, steps: ImageSteps, ticket: int) -> list[Any]:
        """Candidates and GEOMETRY -> DETECTIONS, BOXES, SCORES, LABELS, those the caller wants."""
        suppression = requested_suppression(request, self.suppression, self.class_names)
        given = checked_inputs.candidates(request, self.max_candidates, len(self.classes))
        with steps.measure(SUPPRESS):
            found = detect(given.boxes, given.scores, given.labels, given.scale_factor, suppression)
        wanted = set(request.requested_output_names())
        tensors = [
            pb_utils.Tensor("BOXES", found.boxes),
            pb_utils.Tensor("SCORES", found.scores),
            pb_utils.Tensor("LABELS", found.labels),
        ]
        if "DETECTIONS" in wanted:
            with steps.measure(WRITE):
                document = found.to_json(self.classes, given.width, given.height)
            document = self.about.added_to(document, ticket, steps)
            tensors.append(pb_utils.Tensor("DETECTIONS", np.array([document.encode()], np.object_)))
        return [tensor for tensor in tensors if tensor.name() in wanted]

    def finalize(self) -> None:
        """Leave the count."""
        self.histograms.close()
        self.ledger.close()
        if self.spans is not None:
            self.spans.close()
