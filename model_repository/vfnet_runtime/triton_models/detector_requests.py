"""What the detector's Python engines do with a request before and after computing: check it, and keep its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from vfnet_runtime.step_times import NETWORK, WAIT, ImageSteps, StepTimes
from vfnet_runtime.tickets import TicketLedger, ledger_path
from vfnet_runtime.triton_models import checked_inputs
from vfnet_runtime.triton_models.answer_about import hand_on
from vfnet_runtime.triton_models.checked_inputs import InvalidInputError, PixelsContract
from vfnet_runtime.triton_models.process_activity import ProcessActivity
from vfnet_runtime.triton_models.responses import cancelled, error_of, invalid_argument, send_only_response
from vfnet_runtime.triton_models.step_histograms import DETECTOR, OF_DETECTOR, QUEUE, StepHistograms
from vfnet_runtime.triton_models.step_spans import StepSpans, export_spans

FAILED = "the image could not be detected in"
"""What a caller is told of an error of ours."""


@dataclass
class ReceivedImage:
    """One request, whose pixels are those of an image unless there is a refusal."""

    request: Any
    steps: ImageSteps
    sender: Any = None
    """Of its response, where that is not returned."""
    pixels: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """uint8 [1, H, W, 3], on the image's own canvas, or as it is stored."""
    valid_shape: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """int32 [1, 2]."""
    is_stored: bool = False
    """Whether its pixels are still to be resized."""
    ticket: int = 0
    """0: it has no place in the ensemble to keep."""
    refusal: Any = None
    """The response of a request that is not to be computed."""

    def was_computed(self, started: int, ended: int) -> None:
        """By the network, between these nanoseconds of CLOCK_MONOTONIC; before, it waited for others of the batch."""
        waiting = self.steps.steps[-1].ended if self.steps.steps else self.steps.started  # tried again: since then
        self.steps.note(WAIT, waiting, started)
        self.steps.note(NETWORK, started, ended)


class DetectorRequests:
    """Receives batches, and says of every image when the detector is done with it."""

    def __init__(
        self,
        model: str,
        parameters: dict[str, str],
        max_batch_size: int,
        is_cancelled: Callable[[Any], bool],
        *,
        takes_stored: bool = False,
    ) -> None:
        """
        Args:
            model: the detector's name in Triton.
            is_cancelled: whether a request's caller has gone; `ProcessActivity.is_cancelled`, which asks Triton only
                while it still has the request.
            takes_stored: whether the detector resizes images that come as they are stored.
        """
        self.contract = PixelsContract.from_parameters(parameters, takes_stored=takes_stored)
        self.max_batch_size, self.is_cancelled = max_batch_size, is_cancelled
        self.ledger = TicketLedger(ledger_path(model))
        self.ledger.end_batch()
        self.step_times = StepTimes(model, pb_utils.Logger.log_warn)
        self.histograms = StepHistograms(model, OF_DETECTOR, DETECTOR)
        self.step_times.listeners.append(self.histograms.told)
        self._spans: StepSpans | None = None

    def export_spans(self, engine: str) -> None:
        """Of each image, where that is asked for; `engine` is what computes."""
        self._spans = export_spans(self.step_times, engine=engine)

    def receive(self, requests: Sequence[Any]) -> list[ReceivedImage]:
        """A batch begins, to which `end` belongs."""
        images = [self._read(request) for request in requests]
        for image in images:
            image.steps.attributes["batch.size"] = len(requests)
            if (ages := self.ledger.ages(image.ticket)) is not None:
                self.histograms.count(QUEUE, ages.in_stage)
        own = self.ledger.begin_batch([image.ticket for image in images], len(requests) >= self.max_batch_size)
        for image in images:
            image.ticket = image.ticket if image.ticket in own else 0
        return images

    def _read(self, request: Any) -> ReceivedImage:
        image = ReceivedImage(request, self.step_times.image(request))
        try:
            image.ticket = checked_inputs.ticket(request)
            image.pixels, image.valid_shape = self.contract.read(request)
            image.steps.attributes["canvas"] = "{2}x{1}".format(*image.pixels.shape)
            image.is_stored = image.pixels.shape[1:3] != self.contract.own_canvas(*image.valid_shape[0].tolist())
        except InvalidInputError as error:
            image.refusal = invalid_argument(str(error))
        if self.is_cancelled(request):
            image.refusal = cancelled()
        return image

    def leave(self, image: ReceivedImage, response: Any) -> None:
        """This will be the image's answer: it goes on to postprocessing, or an error ends its way."""
        if image.ticket:
            hand_on(self.ledger, image.ticket, DETECTOR, image.steps)
            (self.ledger.give_back if response.has_error() else self.ledger.leave_detector)(image.ticket)

    def finish(self, image: ReceivedImage, response: Any) -> None:
        """That answer is on its way."""
        self.step_times.finish(image.steps, error_of(response))

    def end(self) -> None:
        """Every image of the batch has left."""
        self.ledger.end_batch()

    def close(self) -> None:
        """Leave the count."""
        self.histograms.close()
        self.ledger.close()
        if self._spans is not None:
            self._spans.close()


class DecoupledDetector:
    """A detector that sends each response when it is done, instead of returning all of a batch."""

    def receive_with(self, config: dict[str, Any], parameters: dict[str, str], *, takes_stored: bool = False) -> None:
        """To be called by `initialize`, with the model's configuration."""
        self.activity = ProcessActivity()
        self.received = DetectorRequests(
            config["name"],
            parameters,
            config["max_batch_size"],
            self.activity.is_cancelled,
            takes_stored=takes_stored,
        )

    def begin(self, requests: Sequence[Any]) -> list[ReceivedImage]:
        """A batch begins: its images that are to be computed. What is refused is answered already."""
        images = []
        for image in self.received.receive(requests):
            image.sender = image.request.get_response_sender()
            self.activity.change(+1)
            if image.refusal is not None:
                self.respond(image, image.refusal)
            else:
                images.append(image)
        return images

    def respond(self, image: ReceivedImage, response: Any) -> None:
        """Send one request's only response."""
        self.activity.pauses.end_if_given_up()
        self.received.leave(image, response)
        send_only_response(image.sender, response)
        self.received.finish(image, response)
        self.activity.change(-1)
