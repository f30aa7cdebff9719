"""A checkpoint, or a network in training, detecting in this process with the very steps that are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vfnet_build.architecture.detector import DensePredictor
from vfnet_build.architecture.vfnet import VFNet
from vfnet_build.checkpoints.errors import CheckpointError
from vfnet_build.checkpoints.loading import Checkpoint, build_network, load_checkpoint
from vfnet_build.repository import template_directory
from vfnet_build.served_code import import_served, served_parameters
from vfnet_client.exceptions import InvalidImageError
from vfnet_evaluate.image_detections import ImageDetections
from vfnet_evaluate.read_ahead import read_ahead


@dataclass(frozen=True, eq=False)
class _ResizedImage:
    """See `model_repository/vfnet_preprocess/1/resizing.py`."""

    pixels: npt.NDArray[np.uint8]
    valid_shape: npt.NDArray[np.int32]
    geometry: npt.NDArray[np.float32]


def load_network(checkpoint: Checkpoint, device: str | None = None) -> VFNet:
    """The checkpoint's network on a device; None is the first GPU, or the CPU where there is none.

    Raises:
        CheckpointError: torch has no such device here.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return build_network(checkpoint).to(torch.device(name))
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise CheckpointError(f"torch cannot compute on {name!r}: {error}") from None


class CheckpointDetector:
    """Preprocessing, candidates and suppression are the modules of the served repository; the network is torch's.

    A network in training may be given: detecting puts it into evaluation mode, and back as it was. Its weights are used
    as they are at that moment and where they are (CPU or GPU), in float32 without autocast. Not for several threads.
    """

    def __init__(self, model: VFNet | Path) -> None:
        """Take a network, or load a checkpoint file.

        Args:
            model: a network (of a DDP wrapper its `.module`), or a path.

        Raises:
            CheckpointError: the file is no checkpoint that can be used.
        """
        network = model if isinstance(model, VFNet) else build_network(load_checkpoint(model))
        repository = template_directory()
        self._decoding: Any = import_served(repository, "vfnet_preprocess", "image_decoding")
        self._resizing: Any = import_served(repository, "vfnet_preprocess", "resizing")
        self._candidates: Any = import_served(repository, "vfnet_detector", "candidates")
        self._detections: Any = import_served(repository, "vfnet_postprocess", "detections")
        self._max_image_pixels = int(served_parameters(repository, "vfnet_preprocess")["max_image_pixels"])
        self.config = network.config
        self._predictor = DensePredictor(network)
        self._settings = self._candidates.CandidateSettings(
            strides=self.config.head.strides,
            point_offset=self.config.head.point_offset,
            nms_pre=self.config.test.nms_pre,
            score_threshold=self.config.test.score_threshold,
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
        return self._detect(self._prepare(image))

    def detect_many(self, images: Iterable[bytes | Path]) -> Iterator[ImageDetections | InvalidImageError]:
        """Detect in many images, in their order; a bad one gives its error. The next are decoded meanwhile."""
        for prepared in read_ahead(self._prepare_or_error, images):
            yield prepared if isinstance(prepared, InvalidImageError) else self._detect(prepared)

    def _prepare(self, image: bytes | Path) -> _ResizedImage:
        """`vfnet_preprocess`."""
        try:
            encoded = image.read_bytes() if isinstance(image, Path) else image
            decoded = self._decoding.decode_image(encoded, self._max_image_pixels)
        except (OSError, self._decoding.ImageError) as error:
            raise InvalidImageError(str(error)) from error
        preprocess = self.config.preprocess
        resized = self._resizing.resize_onto_canvas(decoded, preprocess.img_scale, preprocess.size_divisor)
        return _ResizedImage(resized.pixels, resized.valid_shape, resized.geometry)

    def _prepare_or_error(self, image: bytes | Path) -> _ResizedImage | InvalidImageError:
        try:
            return self._prepare(image)
        except InvalidImageError as error:
            return error

    def _detect(self, image: _ResizedImage) -> ImageDetections:
        """`vfnet_detector` and `vfnet_postprocess`."""
        outputs = self.predict(image.pixels, image.valid_shape)
        levels = len(self.config.head.strides)
        boxes, scores, labels = self._candidates.select_candidates(
            outputs[:levels], outputs[levels:], image.valid_shape[0], self._settings
        )
        test = self.config.test
        found = self._detections.detect(
            boxes, scores, labels, image.geometry[0, 2:], test.iou_threshold, test.max_per_img
        )
        return ImageDetections(
            found.boxes.astype(np.float64), found.scores.astype(np.float64), found.labels.astype(np.int64)
        )

    def predict(
        self, pixels: npt.NDArray[np.uint8], valid_shape: npt.NDArray[np.int32]
    ) -> list[npt.NDArray[np.float32]]:
        """The network alone, here in torch; another engine takes its place in a subclass.

        Returns:
            The outputs of `DensePredictor` for the one image in the batch, without their first axis.
        """
        network = self._predictor.network
        device = next(network.parameters()).device
        self._predictor.to(device)
        with _evaluating(network), torch.inference_mode(), torch.autocast(device.type, enabled=False):
            outputs = self._predictor(torch.from_numpy(pixels).to(device), torch.from_numpy(valid_shape).to(device))
            return [output[0].cpu().numpy() for output in outputs]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode, and every module back as it was afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
