"""Triton's entry to `vfnet_detector`: batches of mixed sizes to the engine, answers as they come."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from candidates import CandidateSettings, select_candidates
from decoupled_responses import send_only_response
from error_responses import cancelled, internal_error
from openvino_engine import HeadOutputs, OpenVINOEngine, is_strip
from process_activity import ProcessActivity
from warming_up import parse_canvases, warm_up

FAILED = "the image could not be detected in"


class TritonPythonModel:
    """Pixels -> candidates, a batch of any sizes at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network with the parameters `vfnet build` wrote."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        self.settings = CandidateSettings(
            strides=tuple(int(stride) for stride in parameters["strides"].split(",")),
            point_offset=float(parameters["point_offset"]),
            nms_pre=int(parameters["nms_pre"]),
            score_threshold=float(parameters["score_threshold"]),
        )
        self.engine = OpenVINOEngine(
            Path(args["model_repository"]) / args["model_version"] / "network.xml",
            parameters["inference_precision"],
            int(parameters["num_streams"]),
            int(parameters["inference_num_threads"]),
            _cache_dir(parameters["cache_dir"]),
            int(parameters["throughput_streams"]),
        )
        canvases = parse_canvases(parameters["warm_up_canvases"])
        warm = warm_up(self.engine, canvases, float(parameters["warm_up_seconds"]))
        self.last_size: tuple[int, ...] = ()
        self.activity = ProcessActivity()
        pb_utils.Logger.log_info(
            f"vfnet_detector: {self.engine.description}, warm for {warm} of {len(canvases)} common sizes"
        )

    def execute(self, requests: list[Any]) -> None:
        """Answer each request as soon as it is done; return when all are.

        Returning earlier would keep the engine busy between batches too, but then Triton forgets
        the requests, and should this process die their callers would wait forever.
        """
        waiting = self.grouped_by_size(requests)
        strips = [request for request in waiting if is_strip(_pixels(request).shape())]
        others = [request for request in waiting if not is_strip(_pixels(request).shape())]
        alone = len(others) - self.engine.count_together(len(others))
        self.answer_all(strips + others[:alone], self.engine.submit)
        self.answer_all(others[alone:], self.engine.submit_together)

    def answer_all(self, requests: list[Any], submit: Callable[..., None]) -> None:
        """See `execute`; `submit` is the engine's."""
        finished = threading.Semaphore(0)
        for request in requests:
            self.answer(request, submit, finished)
        for _ in requests:
            finished.acquire()

    def grouped_by_size(self, requests: list[Any]) -> list[Any]:
        """Images of one size together, those of the last batch's last size first: a change costs the network time."""
        sizes = [_pixels(request).shape() for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (tuple(sizes[i]) != self.last_size, sizes[i]))
        self.last_size = tuple(sizes[order[-1]])
        return [requests[i] for i in order]

    def answer(self, request: Any, submit: Callable[..., None], finished: threading.Semaphore) -> None:
        """Start one image; its response is sent, and `finished` released, when it is done."""
        sender = request.get_response_sender()
        self.activity.change(+1)

        def respond(response: Any) -> None:
            self.activity.pauses.end_if_given_up()
            send_only_response(sender, response)
            self.activity.change(-1)
            finished.release()

        if self.activity.is_cancelled(request):
            respond(cancelled())
            return
        pixels = _pixels(request).as_numpy()
        valid_shape = pb_utils.get_input_tensor_by_name(request, "VALID_SHAPE").as_numpy()

        def done(outputs: HeadOutputs | None, error: Exception | None) -> None:
            try:
                if error is not None or outputs is None:
                    raise error or RuntimeError("no outputs")
                response = pb_utils.InferenceResponse(output_tensors=self.candidates(outputs, valid_shape[0]))
            except Exception as failure:
                response = internal_error(FAILED, failure)
            respond(response)

        try:
            submit(pixels, valid_shape, done)
        except Exception as failure:
            respond(internal_error(FAILED, failure))

    def candidates(self, outputs: HeadOutputs, valid_shape: Any) -> list[Any]:
        """Head outputs of one image -> CANDIDATE_BOXES, CANDIDATE_SCORES, CANDIDATE_LABELS."""
        levels = len(self.settings.strides)
        boxes, scores, labels = select_candidates(
            [output[0] for output in outputs[:levels]],
            [output[0] for output in outputs[levels:]],
            valid_shape,
            self.settings,
        )
        return [
            pb_utils.Tensor("CANDIDATE_BOXES", boxes[None]),
            pb_utils.Tensor("CANDIDATE_SCORES", scores[None]),
            pb_utils.Tensor("CANDIDATE_LABELS", labels[None]),
        ]

    def finalize(self) -> None:
        """Let what is running finish."""
        self.engine.close()


def _pixels(request: Any) -> Any:
    return pb_utils.get_input_tensor_by_name(request, "PIXELS")


def _cache_dir(parameter: str) -> Path | None:
    """The parameter, else a folder in $VFNET_CACHE_DIR; None where neither is, or it cannot be written to."""
    shared = os.environ.get("VFNET_CACHE_DIR")
    if not parameter and not shared:
        return None
    folder = Path(parameter) if parameter else Path(str(shared)) / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        pb_utils.Logger.log_warn(f"vfnet_detector: no cache of compiled networks: {error}")
        return None
    return folder if os.access(folder, os.W_OK) else None
