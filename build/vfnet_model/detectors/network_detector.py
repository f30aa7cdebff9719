"""Any network of a VFNet detecting in this process, between the very steps that are served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_client.bounded_files import read_file
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.read_ahead import read_ahead
from vfnet_model.served_repository import import_served, served_parameters, template_directory
from vfnet_runtime.architecture.config import VFNetConfig


@dataclass(frozen=True, eq=False)
class ResizedImage:
    """See `model_repository/vfnet_runtime/resizing.py`."""

    pixels: npt.NDArray[np.uint8]
    valid_shape: npt.NDArray[np.int32]
    geometry: npt.NDArray[np.float32]


Predict = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int32]], list[npt.NDArray[np.float32]]]
"""`pixels` and `valid_shape` of one image -> per level logits [num_classes, H_l, W_l], then per level distances
[4, H_l, W_l]; see `DensePredictor`."""


class NetworkDetector:
    """Preprocessing, candidates and suppression are the modules of the served repository; the network is given."""

    def __init__(self, config: VFNetConfig, predict: Predict) -> None:
        repository = template_directory()
        self._decoding: Any = import_served(repository, "vfnet_preprocess", "image_decoding")
        self._resizing: Any = import_served(repository, "vfnet_preprocess", "resizing")
        self._candidates: Any = import_served(repository, "vfnet_detector", "candidates")
        self._detections: Any = import_served(repository, "vfnet_postprocess", "detections")
        self._max_image_pixels = int(served_parameters(repository, "vfnet_preprocess")["max_image_pixels"])
        self._predict = predict
        self.config = config
        self._settings = self._candidates.CandidateSettings(
            strides=config.head.strides,
            point_offset=config.head.point_offset,
            nms_pre=config.test.nms_pre,
            score_threshold=config.test.score_threshold,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.config.classes

    def detect(self, image: bytes | Path) -> ImageDetections:
        """Detect in one image, encoded or in a file; `labels` index `classes`.

        Raises:
            InvalidImageError: it cannot be read.
        """
        return self._detect(self.prepare(image))

    def detect_many(self, images: Iterable[bytes | Path]) -> Iterator[ImageDetections | InvalidImageError]:
        """Detect in many images, in their order; a bad one gives its error. The next are decoded meanwhile."""
        for prepared in read_ahead(self._prepare_or_error, images):
            yield prepared if isinstance(prepared, InvalidImageError) else self._detect(prepared)

    def prepare(self, image: bytes | Path) -> ResizedImage:
        """`vfnet_preprocess`.

        Raises:
            InvalidImageError: the image cannot be read.
        """
        try:
            encoded = read_file(image, MAX_FILE_BYTES) if isinstance(image, Path) else image
            decoded = self._decoding.decode_image(encoded, self._max_image_pixels)
        except (OSError, self._decoding.ImageError) as error:
            raise InvalidImageError(str(error)) from error
        preprocess = self.config.preprocess
        resized = self._resizing.resize_onto_canvas(decoded, preprocess.img_scale, preprocess.size_divisor)
        return ResizedImage(resized.pixels, resized.valid_shape, resized.geometry)

    def _prepare_or_error(self, image: bytes | Path) -> ResizedImage | InvalidImageError:
        try:
            return self.prepare(image)
        except InvalidImageError as error:
            return error

    def _detect(self, image: ResizedImage) -> ImageDetections:
        """`vfnet_detector` and `vfnet_postprocess`."""
        boxes, scores, labels = self._find_candidates(image)
        test = self.config.test
        found = self._detections.detect(
            boxes, scores, labels, image.geometry[0, 2:], test.iou_threshold, test.max_per_img
        )
        return ImageDetections(
            found.boxes.astype(np.float64), found.scores.astype(np.float64), found.labels.astype(np.int64)
        )

    def _find_candidates(self, image: ResizedImage) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """`vfnet_detector`: boxes [K, 4], scores [K], labels [K]."""
        outputs = self._predict(image.pixels, image.valid_shape)
        levels = len(self.config.head.strides)
        found: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] = self._candidates.select_candidates(
            outputs[:levels], outputs[levels:], image.valid_shape[0], self._settings
        )
        return found
