"""`vfnet_detector` in OpenVINO: batches of mixed sizes to the engine, answers as they come."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from vfnet_runtime.candidates import CandidateSettings, select_candidates
from vfnet_runtime.engines.openvino_engine import HeadOutputs, OpenVINOEngine, is_strip
from vfnet_runtime.engines.warming_up import parse_warm_up_canvases, warm_up
from vfnet_runtime.step_times import CANDIDATES
from vfnet_runtime.triton_models.detector_requests import FAILED, DecoupledDetector, ReceivedImage
from vfnet_runtime.triton_models.responses import internal_error


class TritonPythonModel(DecoupledDetector):
    """Pixels -> candidates, a batch of any sizes at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the network with the parameters `vfnet build` wrote."""
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        self.settings = CandidateSettings(
            strides=tuple(int(stride) for stride in parameters["strides"].split(",")),
            point_offset=float(parameters["point_offset"]),
            nms_pre=int(parameters["nms_pre"]),
            score_threshold=float(parameters["score_threshold"]),
        )

        def say(text: str) -> None:
            pb_utils.Logger.log_info(f"{config['name']}: {text}")

        started = time.monotonic()
        self.engine = OpenVINOEngine(
            Path(args["model_repository"]) / args["model_version"] / "network.xml",
            parameters["inference_precision"],
            int(parameters["num_streams"]),
            int(parameters["inference_num_threads"]),
            _cache_dir(parameters["cache_dir"]),
            int(parameters["throughput_streams"]),
        )
        say(f"the network is compiled after {time.monotonic() - started:.2g} s")
        canvases = parse_warm_up_canvases(parameters["warm_up_canvases"])
        warm = warm_up(self.engine, canvases, float(parameters["warm_up_seconds"]), say)
        self.last_size: tuple[int, ...] = ()
        self.receive_with(config, parameters)
        self.received.export_spans(self.engine.description)
        say(f"{self.engine.description}, warm for {warm} of {len(canvases)} common sizes")

    def execute(self, requests: list[Any]) -> None:
        """Answer each request as soon as it is done; return when all are.

        Returning earlier would keep the engine busy between batches too, but then Triton forgets
        the requests, and should this process die their callers would wait forever.
        """
        images = self.begin(requests)
        if images:
            self.detect(images)
        self.received.end()

    def detect(self, images: list[ReceivedImage]) -> None:
        """Answer each."""
        waiting = self.grouped_by_size(images)
        strips = [image for image in waiting if is_strip(image.pixels.shape)]
        others = [image for image in waiting if not is_strip(image.pixels.shape)]
        alone = len(others) - self.engine.count_together(len(others))
        failed = self.answer_all(strips + others[:alone], self.engine.submit)
        failed += self.answer_all(others[alone:], self.engine.submit_together)
        # One that fails leaves the network in a state in which others fail too, and it is not known which was the one.
        for image, _ in failed:
            self.answer_alone(image)

    def answer_alone(self, image: ReceivedImage) -> None:
        """Answer an image that failed with others: on a network that is as at the start, before and after."""
        self.engine.renew()
        for _, failure in self.answer_all([image], self.engine.submit):
            self.respond(image, internal_error(FAILED, failure, image.request))
            self.engine.renew()

    def answer_all(
        self, images: list[ReceivedImage], submit: Callable[..., None]
    ) -> list[tuple[ReceivedImage, Exception]]:
        """See `execute`; `submit` is the engine's. Returns those that the network failed on, which have no answer."""
        finished = threading.Semaphore(0)
        failed = list[tuple[ReceivedImage, Exception]]()
        for image in images:
            self.answer(image, submit, finished, failed)
        for _ in images:
            finished.acquire()
        return failed

    def grouped_by_size(self, images: list[ReceivedImage]) -> list[ReceivedImage]:
        """Images of one size together, those of the last batch's last size first: a change costs the network time."""
        order = sorted(images, key=lambda image: (image.pixels.shape != self.last_size, image.pixels.shape))
        self.last_size = order[-1].pixels.shape
        return order

    def answer(
        self,
        image: ReceivedImage,
        submit: Callable[..., None],
        finished: threading.Semaphore,
        failed: list[tuple[ReceivedImage, Exception]],
    ) -> None:
        """Start one image; when it is done its response is sent or it is among `failed`, and `finished` is released."""

        def done(outputs: HeadOutputs | None, error: Exception | None) -> None:
            try:
                if outputs is None:
                    failed.append((image, error or RuntimeError("no outputs")))
                else:
                    self.respond(image, self.response(outputs, image))
            finally:
                finished.release()

        try:
            submit(image.pixels, image.valid_shape, done, image.was_computed)
        except Exception as failure:
            done(None, failure)

    def response(self, outputs: HeadOutputs, image: ReceivedImage) -> Any:
        """The candidates of one image, or an error."""
        try:
            with image.steps.measure(CANDIDATES):
                tensors = self.candidates(outputs, image.valid_shape[0])
            return pb_utils.InferenceResponse(output_tensors=tensors)
        except Exception as failure:
            return internal_error(FAILED, failure, image.request)

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
        self.received.close()


def _cache_dir(parameter: str) -> Path | None:
    """The parameter, else a folder in $VFNET_CACHE_DIR; None where neither is, or it cannot be written to."""
    shared = os.environ.get("VFNET_CACHE_DIR")
    if not parameter and not shared:
        return None
    folder = Path(parameter) if parameter else Path(str(shared)) / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        pb_utils.Logger.log_warn(f"no cache of compiled networks: {error}")
        return None
    return folder if os.access(folder, os.W_OK) else None
