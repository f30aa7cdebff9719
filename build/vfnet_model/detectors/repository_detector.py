"""A built repository's own steps in this process, without Triton."""

from __future__ import annotations

import copy
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.detections import Detections
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_images.decoding import ImageError, decode_image
from vfnet_model.detectors.chosen_suppression import chosen_suppression
from vfnet_model.served_repository import check_runtime, served_parameters
from vfnet_runtime.answers import detect
from vfnet_runtime.candidates import CandidateSettings, select_candidates
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas
from vfnet_runtime.suppression import Suppression


class RepositoryDetector:
    """Preprocessing, network (OpenVINO), candidates and suppression as they are served. For several threads.

    Args:
        repository: written by `vfnet build`.
        threads: of the network; 0 is every core this process may use.
        model: the repository's that is held.

    `scale` is the longest and shortest side in pixels that an image is resized to fit.

    Raises:
        RuntimeMismatchError: the repository would be served by other code than is installed here.
    """

    def __init__(self, repository: Path, threads: int = 0, model: str = MODEL) -> None:
        check_runtime(repository, model)
        names = EnsembleNames(model)
        preprocess, detector, postprocess = (served_parameters(repository, step) for step in names.steps)
        longest, shortest = (int(side) for side in preprocess["img_scale"].split(","))
        self.scale, self._divisor = (longest, shortest), int(preprocess["size_divisor"])
        self._max_image_pixels = int(preprocess["max_image_pixels"])
        self._settings = CandidateSettings(
            strides=tuple(int(stride) for stride in detector["strides"].split(",")),
            point_offset=float(detector["point_offset"]),
            nms_pre=int(detector["nms_pre"]),
            score_threshold=float(detector["score_threshold"]),
        )
        self._engine = OpenVINOEngine(
            repository / names.detector / "1" / "network.xml",
            detector["inference_precision"],
            int(detector["num_streams"]),
            threads or int(detector["inference_num_threads"]),
        )
        self._suppression = Suppression(float(postprocess["iou_threshold"]), int(postprocess["max_per_img"]))
        self.classes = (repository / names.postprocess / "labels.txt").read_text(encoding="utf-8-sig").splitlines()

    def at_scale(self, scale: tuple[int, int]) -> RepositoryDetector:
        """The same, and the same network in memory, but for the longest and shortest side images are resized to fit."""
        other = copy.copy(self)
        other.scale = scale
        return other

    def with_options(self, options: DetectionOptions) -> RepositoryDetector:
        """The same, and the same network in memory, for a caller that wants its detections otherwise.

        Raises:
            InvalidOptionsError: they make no sense to this model.
        """
        other = copy.copy(self)
        other._suppression = chosen_suppression(self._suppression, self.classes, options)
        return other

    def detect(self, encoded: bytes) -> Detections:
        """What a server of the repository answers.

        Raises:
            InvalidImageError: it is not an image that can be read.
        """
        try:
            image = decode_image(encoded, self._max_image_pixels)
        except ImageError as error:
            raise InvalidImageError(str(error)) from error
        resized = resize_onto_canvas(image, self.scale, self._divisor)
        boxes, scores, labels = self._candidates_of(resized)
        width, height = resized.geometry[0, :2]
        found = detect(boxes, scores, labels, resized.geometry[0, 2:], self._suppression)
        return Detections.from_json(found.to_json(self.classes, float(width), float(height)))

    def _candidates_of(self, resized: ResizedImage) -> Any:
        answer: Future[Any] = Future()
        valid_shape = resized.valid_shape

        def done(outputs: Any, error: Exception | None) -> None:
            try:
                if error is not None:
                    raise error
                levels = len(self._settings.strides)
                heads = [output[0] for output in outputs]
                answer.set_result(select_candidates(heads[:levels], heads[levels:], valid_shape[0], self._settings))
            except Exception as failure:
                answer.set_exception(failure)

        self._engine.submit(resized.pixels, valid_shape, done)
        return answer.result()
