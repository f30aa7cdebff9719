"""Any network of a VFNet detecting in this process, between the very steps that are served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vfnet_client.bounded_files import read_file
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_images.decoding import ImageError, decode_image
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_runtime.answers import detect
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.candidates import CandidateSettings, select_candidates
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas

T = TypeVar("T")
R = TypeVar("R")
Predict = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int32]], list[npt.NDArray[np.float32]]]
"""`pixels` and `valid_shape` of one image -> per level logits [num_classes, H_l, W_l], then per level distances
[4, H_l, W_l]; see `DensePredictor`."""


class NetworkDetector:
    """Preprocessing, candidates and suppression are those that serve; the network is given."""

    def __init__(self, config: VFNetConfig, predict: Predict) -> None:
        self._predict = predict
        self.config = config
        self._settings = CandidateSettings(
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
            decoded = decode_image(encoded)
        except (OSError, ImageError) as error:
            raise InvalidImageError(str(error)) from error
        preprocess = self.config.preprocess
        return resize_onto_canvas(decoded, preprocess.img_scale, preprocess.size_divisor)

    def _prepare_or_error(self, image: bytes | Path) -> ResizedImage | InvalidImageError:
        try:
            return self.prepare(image)
        except InvalidImageError as error:
            return error

    def _detect(self, image: ResizedImage) -> ImageDetections:
        """`vfnet_detector` and `vfnet_postprocess`."""
        boxes, scores, labels = self._find_candidates(image)
        test = self.config.test
        found = detect(boxes, scores, labels, image.geometry[0, 2:], test.iou_threshold, test.max_per_img)
        return ImageDetections(
            found.boxes.astype(np.float64), found.scores.astype(np.float64), found.labels.astype(np.int64)
        )

    def _find_candidates(self, image: ResizedImage) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """`vfnet_detector`: boxes [K, 4], scores [K], labels [K]."""
        outputs = self._predict(image.pixels, image.valid_shape)
        levels = len(self.config.head.strides)
        return select_candidates(outputs[:levels], outputs[levels:], image.valid_shape[0], self._settings)


def read_ahead(work: Callable[[T], R], items: Iterable[T], ahead: int = 4, threads: int = 2) -> Iterator[R]:
    """`map(work, items)` on threads of its own, never more than `ahead` results in memory that nobody has taken."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
