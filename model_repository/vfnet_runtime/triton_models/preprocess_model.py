"""`vfnet_preprocess`: encoded images -> pixels on a canvas."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils

from vfnet_images.decoding import ImageError, decode_image
from vfnet_runtime.admission import Admission, CallerGoneError
from vfnet_runtime.canvases import parse_canvases
from vfnet_runtime.freed_memory import FreedMemory
from vfnet_runtime.resizing import as_stored_or_resized, resize_onto_canvas
from vfnet_runtime.step_times import DECODE, RESIZE, WAIT, ImageSteps, StepTimes
from vfnet_runtime.tickets import TicketLedger, ledger_path
from vfnet_runtime.triton_models.answer_about import hand_on
from vfnet_runtime.triton_models.checked_inputs import InvalidInputError, image_bytes
from vfnet_runtime.triton_models.lasting_counters import LastingCounters
from vfnet_runtime.triton_models.process_activity import ProcessActivity
from vfnet_runtime.triton_models.responses import cancelled, error_of, internal_error, invalid_argument
from vfnet_runtime.triton_models.step_histograms import OF_PREPROCESS, PREPROCESS, StepHistograms
from vfnet_runtime.triton_models.step_spans import export_spans

REASONS = ("unreadable", "cancelled", "failed")
"""Why an image is turned away. Those that find Triton's queue full never come here."""


class Refusals:
    """`vfnet_refusals`: Triton's metric of images turned away, by model and reason; its processes add up in it."""

    def __init__(self, model: str) -> None:
        counters = LastingCounters("vfnet_refusals", "Images that preprocessing turned away, by model and reason")
        self._counters = {reason: counters.of({"model": model, "reason": reason}) for reason in REASONS}

    def count(self, reason: str, response: Any) -> Any:
        """One more for this reason; `response` as it is."""
        self._counters[reason].increment(1)
        return response


class TritonPythonModel:
    """An encoded image -> its resized pixels; several processes of this model share the work."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters `vfnet build` wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        longest, shortest = (int(side) for side in parameters["img_scale"].split(","))
        self.img_scale = (longest, shortest)
        self.size_divisor = int(parameters["size_divisor"])
        self.canvases = parse_canvases(parameters["canvases"])
        self.leaves_enlarging = parameters["enlarging"] == "detector"
        self.max_image_pixels = int(parameters["max_image_pixels"])
        self.ledger = TicketLedger(ledger_path(args["model_name"]), float(parameters["ticket_seconds"]))
        self.admission = Admission(self.ledger, int(parameters["max_in_flight"]))
        self.refusals = Refusals(args["model_name"].rpartition("_")[0])
        self.activity = ProcessActivity()
        self.freed_memory = FreedMemory()
        self.step_times = StepTimes(args["model_name"], pb_utils.Logger.log_warn)
        self.histograms = StepHistograms(args["model_name"], OF_PREPROCESS, PREPROCESS)
        self.step_times.listeners.append(self.histograms.told)
        self.spans = export_spans(self.step_times)
        cv2.setNumThreads(1)  # the network needs the other cores

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a failure is that request's alone."""
        responses = [self.answer(request) for request in requests]
        self.activity.pauses.end_if_given_up()
        return responses

    def answer(self, request: Any) -> Any:
        """Tensors, or an error: the caller's for what cannot be read as an image."""
        steps = self.step_times.image(request)
        response = self.answer_in_turn(request, steps)
        self.step_times.finish(steps, error_of(response))
        return response

    def answer_in_turn(self, request: Any, steps: ImageSteps) -> Any:
        """See `answer`."""
        if self.activity.is_cancelled(request):
            return self.refusals.count("cancelled", cancelled())
        # Who calls this model by itself takes no place in the ensemble.
        needs_ticket = "TICKET" in request.requested_output_names()
        has_gone = partial(self.activity.is_cancelled, request)
        try:
            with steps.measure(WAIT):
                ticket = self.admission.enter(has_gone) if needs_ticket else 0  # waiting is no work
        except CallerGoneError:
            return self.refusals.count("cancelled", cancelled())
        with self.activity.working():
            response = self.answer_admitted(request, ticket, steps)
            self.freed_memory.give_back()
        if needs_ticket:
            if response.has_error():
                self.admission.leave(ticket)
            else:
                hand_on(self.ledger, ticket, PREPROCESS, steps)
                self.ledger.pass_on(ticket)
        return response

    def answer_admitted(self, request: Any, ticket: int, steps: ImageSteps) -> Any:
        """See `answer`."""
        try:
            return pb_utils.InferenceResponse(output_tensors=self.preprocess(request, ticket, steps))
        except (InvalidInputError, ImageError) as error:
            return self.refusals.count("unreadable", invalid_argument(str(error)))
        except Exception as error:
            return self.refusals.count("failed", internal_error("the image could not be preprocessed", error, request))

    def preprocess(self, request: Any, ticket: int, steps: ImageSteps) -> list[Any]:
        """IMAGE -> PIXELS, VALID_SHAPE, GEOMETRY, TICKET."""
        encoded = image_bytes(request)
        steps.attributes["image.bytes"] = len(encoded)
        with steps.measure(DECODE):
            image = decode_image(encoded, self.max_image_pixels)
        with steps.measure(RESIZE):
            if self.leaves_enlarging:
                resized = as_stored_or_resized(image, self.img_scale, self.size_divisor)
            else:
                resized = resize_onto_canvas(image, self.img_scale, self.size_divisor, self.canvases)
        steps.attributes["image.size"] = "{1}x{0}".format(*image.shape)
        steps.attributes["canvas"] = "{2}x{1}".format(*resized.pixels.shape)
        return [
            pb_utils.Tensor("PIXELS", resized.pixels),
            pb_utils.Tensor("VALID_SHAPE", resized.valid_shape),
            pb_utils.Tensor("GEOMETRY", resized.geometry),
            pb_utils.Tensor("TICKET", np.array([[ticket]], np.int64)),
        ]

    def finalize(self) -> None:
        """Leave the count."""
        self.histograms.close()
        self.ledger.close()
        if self.spans is not None:
            self.spans.close()
