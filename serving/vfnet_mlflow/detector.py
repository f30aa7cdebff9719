"""An encoded image -> its answer, by the steps that Triton serves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import InvalidImageError, InvalidOptionsError
from vfnet_images.decoding import ImageError, decode_image
from vfnet_mlflow.settings import NETWORK, FolderSettings
from vfnet_runtime.answers import detect
from vfnet_runtime.candidates import select_candidates
from vfnet_runtime.engines.openvino_engine import HeadOutputs, OpenVINOEngine
from vfnet_runtime.resizing import resize_onto_canvas
from vfnet_runtime.suppression import ClassNames, OptionError, Suppression


class FolderDetector:
    """Preprocessing, the network in OpenVINO, candidates and suppression. For several threads.

    Args:
        folder: of the network and its settings.
        threads: of the network; 0 is every core this process may use.

    Raises:
        OSError, ValueError, TypeError, KeyError, RuntimeError: there is no such network.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.settings = FolderSettings.read(folder)
        self._engine = OpenVINOEngine(
            folder / NETWORK, self.settings.precision, inference_num_threads=threads, throughput_streams=None
        )
        # One more than the network has places for, so that the next image is decoded meanwhile; and no further ones,
        # however many requests there are, since pixels take memory.
        self.images = ThreadPoolExecutor(self._engine.network.slots + 1, "vfnet")
        """Where to run `detect`."""
        self._turn = threading.Condition()
        self._under_way, self._has_failed = 0, False

    def suppression(self, options: DetectionOptions) -> Suppression:
        """The model's own settings with what a caller changes.

        Raises:
            InvalidOptionsError: one of the options makes no sense to this model.
        """
        own = Suppression(self.settings.iou_threshold, self.settings.max_per_img)
        try:
            return own.changed(ClassNames(self.settings.classes), **asdict(options))
        except OptionError as error:
            raise InvalidOptionsError(str(error)) from error

    def detect(self, encoded: bytes, suppression: Suppression | None = None) -> bytes:
        """The contract's `{"boxes": [...]}` as JSON.

        Args:
            suppression: of `suppression`; None: the model's own.

        Raises:
            InvalidImageError: it is not an image that can be read.
        """
        suppression = suppression or self.suppression(NO_OPTIONS)
        settings = self.settings
        try:
            image = decode_image(encoded)
        except ImageError as error:
            raise InvalidImageError(str(error)) from error
        resized = resize_onto_canvas(image, settings.img_scale, settings.size_divisor)
        del image
        outputs = [output[0] for output in self._compute(resized.pixels, resized.valid_shape)]
        levels = len(settings.strides)
        candidates = select_candidates(outputs[:levels], outputs[levels:], resized.valid_shape[0], settings.candidates)
        width, height = (float(side) for side in resized.geometry[0, :2])
        found = detect(*candidates, resized.geometry[0, 2:], suppression)
        return found.to_json(settings.classes, width, height).encode()

    def _compute(self, pixels: NDArray[Any], valid_shape: NDArray[Any]) -> HeadOutputs:
        """One inference. After one that failed none is begun before the network is compiled anew: see its `renew`."""
        with self._turn:
            self._turn.wait_for(lambda: not self._has_failed)
            self._under_way += 1
        try:
            return self._engine.compute(pixels, valid_shape)
        except BaseException:
            self._has_failed = True
            raise
        finally:
            with self._turn:
                self._under_way -= 1
                self._turn.notify_all()
                if self._has_failed and not self._under_way:
                    self._has_failed = False
                    self._engine.renew()  # whoever was told waits for the lock
