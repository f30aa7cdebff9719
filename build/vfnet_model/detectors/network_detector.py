"""Any network of a VFNet detecting in this process, between the very steps that are served."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from vfnet_client.bounded_files import read_file
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_images.decoding import ImageError, decode_image
from vfnet_model.augmentations import Augmentations
from vfnet_model.detectors.chosen_suppression import chosen_suppression
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.test_time_augmentation import View, merged, views_of
from vfnet_model.detectors.tiled_pixels import merged_tiles, tiled
from vfnet_runtime.answers import detect
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.candidates import CandidateSettings, select_candidates
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas
from vfnet_runtime.suppression import Suppression
from vfnet_tiling.geometry import Tile
from vfnet_tiling.tiling import Tiling

T = TypeVar("T")
R = TypeVar("R")
Predict = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int32]], list[npt.NDArray[np.float32]]]
"""`pixels` and `valid_shape` of one image -> per level logits [num_classes, H_l, W_l], then per level distances
[4, H_l, W_l]; see `DensePredictor`."""
ONE_VIEW = Augmentations()
_TILES_AHEAD = 2
"""Of one image: resized, and waiting for the network."""


@dataclass(frozen=True)
class _Parts:
    """An image to be detected in: as a whole, in its tiles, or both."""

    tiles: list[Tile]
    views: Iterable[list[View]]
    """Of each part, to be gone through once: of tiles they are made on the way, a few ahead of the network."""


class NetworkDetector:
    """Preprocessing, candidates and suppression are those that serve; the network is given.

    Args:
        augmentations: the views of each image; the candidates of all go through one suppression.
        tiling: each image is detected in as a whole and in its tiles, in every view of each.
    """

    def __init__(
        self,
        config: VFNetConfig,
        predict: Predict,
        augmentations: Augmentations = ONE_VIEW,
        tiling: Tiling | None = None,
    ) -> None:
        self._predict = predict
        self._augmentations, self._tiling = augmentations, tiling
        self.config = config
        self._suppression = Suppression(config.test.iou_threshold, config.test.max_per_img)
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

    def with_options(self, options: DetectionOptions) -> Self:
        """The same, and the same network in memory, for a caller that wants its detections otherwise.

        Raises:
            InvalidOptionsError: they make no sense to this model.
        """
        other = copy.copy(self)
        other._suppression = chosen_suppression(self._suppression, self.classes, options)
        return other

    def detect(self, image: bytes | Path) -> ImageDetections:
        """Detect in one image, encoded or in a file; `labels` index `classes`.

        Raises:
            InvalidImageError: it cannot be read, or not be tiled.
        """
        return self._detect(self._prepare_parts(image))

    def detect_many(self, images: Iterable[bytes | Path]) -> Iterator[ImageDetections | InvalidImageError]:
        """Detect in many images, in their order; a bad one gives its error. The next are decoded meanwhile."""
        # Of an image with tiles, the pixels that the tiles are cut from are kept, too.
        for prepared in read_ahead(self._prepare_or_error, images, *((4, 2) if self._tiling is None else (1, 1))):
            yield prepared if isinstance(prepared, InvalidImageError) else self._detect(prepared)

    def prepare(self, image: bytes | Path) -> ResizedImage:
        """`vfnet_preprocess`, without augmentations.

        Raises:
            InvalidImageError: the image cannot be read.
        """
        preprocess = self.config.preprocess
        return resize_onto_canvas(_decode(image), preprocess.img_scale, preprocess.size_divisor)

    def _prepare_parts(self, image: bytes | Path) -> _Parts:
        preprocess = self.config.preprocess
        pixels = _decode(image)
        tiles = tiled(pixels, self._tiling)

        def views(tile: Tile) -> list[View]:
            return views_of(tile.of(pixels), self._augmentations, preprocess.img_scale, preprocess.size_divisor)

        if len(tiles) == 1:
            return _Parts(tiles, [views(tiles[0])])
        return _Parts(tiles, read_ahead(views, tiles, _TILES_AHEAD))

    def _prepare_or_error(self, image: bytes | Path) -> _Parts | InvalidImageError:
        try:
            return self._prepare_parts(image)
        except InvalidImageError as error:
            return error

    def _detect(self, parts: _Parts) -> ImageDetections:
        """`vfnet_detector` for each view, `vfnet_postprocess` for each part, and what a client does with tiles."""
        found = [self._detect_part(views) for views in parts.views]
        if len(found) == 1:
            return found[0]
        own = self._suppression
        return merged_tiles(parts.tiles, found, self._tiling, own.iou_threshold, own.max_per_img)

    def _detect_part(self, views: list[View]) -> ImageDetections:
        candidates = merged(views, [self._find_candidates(view.image) for view in views])
        found = detect(*candidates, np.ones(2, np.float32), self._suppression)
        return ImageDetections(
            found.boxes.astype(np.float64), found.scores.astype(np.float64), found.labels.astype(np.int64)
        )

    def _find_candidates(self, image: ResizedImage) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """`vfnet_detector`: boxes [K, 4], scores [K], labels [K]."""
        outputs = self._predict(image.pixels, image.valid_shape)
        levels = len(self.config.head.strides)
        return select_candidates(outputs[:levels], outputs[levels:], image.valid_shape[0], self._settings)


def _decode(image: bytes | Path) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, 3]. Raises InvalidImageError."""
    try:
        return decode_image(read_file(image, MAX_FILE_BYTES) if isinstance(image, Path) else image)
    except (OSError, ImageError) as error:
        raise InvalidImageError(str(error)) from error


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
