"""Measures each step of preprocessing on the same pictures, in turns, in processor time of one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vfnet_bench.decoding.pictures import Pictures
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.measurement import Measurement, ratios
from vfnet_bench.progress import Progress
from vfnet_bench.rounds import Contestant, run_rounds
from vfnet_images.decoding import decode_image, decode_with_pillow
from vfnet_load.coco_sizes import IMG_SCALE, SIZE_DIVISOR
from vfnet_runtime.resizing import resize_onto_canvas

Pixels = NDArray[Any]
_MS = "ms"


@dataclass(frozen=True)
class Costs:
    """Of a picture among its like, on average: milliseconds of one core, a value a round."""

    pictures: Pictures
    pillow: Measurement
    """Decoding by Pillow alone."""
    served: Measurement
    """Decoding as it is served."""
    opencv: Measurement
    """Decoding by `cv2.imdecode`, which answers files differently where they are damaged."""
    resize: Measurement
    """Onto the canvas that a stock network computes on."""
    same: int
    """Pictures of which OpenCV makes the same pixels."""

    @property
    def before(self) -> Measurement:
        """Preprocessing with Pillow alone."""
        return _sum("before", self.pillow, self.resize)

    @property
    def now(self) -> Measurement:
        """Preprocessing as it is served."""
        return _sum("now", self.served, self.resize)

    @property
    def share(self) -> Measurement:
        """What preprocessing takes now, of what it took before, in the same round."""
        return ratios("now / before", self.now, self.before, None)

    def to_json(self) -> dict[str, Any]:
        """Every value."""
        rows = (self.pillow, self.served, self.opencv, self.resize, self.before, self.now, self.share)
        return {
            "name": self.pictures.name,
            "pictures": len(self.pictures.encoded),
            "mean_bytes": self.pictures.mean_bytes,
            "same_as_opencv": self.same,
            "measurements": [row.to_json() for row in rows],
        }


def measure(pictures: Pictures, rounds: int, progress: Progress) -> Costs:
    """Every step on every picture, once a round.

    Raises:
        BenchmarkError: one has other pixels as it is served than by Pillow, which is a fault.
    """
    cv2.setNumThreads(1)  # as in the model
    same = 0
    for encoded in pictures.encoded:
        pixels, other = decode_image(encoded), _opencv(encoded)
        if not np.array_equal(pixels, decode_with_pillow(encoded)):
            raise BenchmarkError(f"{pictures.name}: served with other pixels than Pillow makes, a fault")
        same += other is not None and np.array_equal(pixels, other)
    steps = {
        "Pillow": partial(_decoding, decode_with_pillow, pictures),
        "served": partial(_decoding, decode_image, pictures),
        "OpenCV": partial(_decoding, _opencv, pictures),
        "resize": partial(_resizing, pictures),
    }
    progress.say(pictures.name)
    measured = run_rounds([Contestant(name, _MS, step) for name, step in steps.items()], rounds, progress)
    pillow, served, opencv, resize = measured
    return Costs(pictures, pillow, served, opencv, resize, same)


def _decoding(decode: Callable[[bytes], Pixels | None], pictures: Pictures) -> float:
    spent = 0.0
    for encoded in pictures.encoded:
        started = time.process_time()
        pixels = decode(encoded)
        del pixels  # what it takes to give the memory back
        spent += time.process_time() - started
    return 1000 * spent / len(pictures.encoded)


def _resizing(pictures: Pictures) -> float:
    spent = 0.0
    for encoded in pictures.encoded:
        pixels = decode_image(encoded)
        started = time.process_time()
        resize_onto_canvas(pixels, IMG_SCALE, SIZE_DIVISOR)
        spent += time.process_time() - started
    return 1000 * spent / len(pictures.encoded)


def _opencv(encoded: bytes) -> Pixels | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    return pixels


def _sum(name: str, *parts: Measurement) -> Measurement:
    return Measurement(name, _MS, tuple(map(sum, zip(*(part.values for part in parts), strict=True))))
