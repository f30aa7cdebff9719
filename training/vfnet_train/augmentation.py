"""From a stored image and its boxes to what the network trains on: MMDetection 2.28.2's training pipeline for VFNet.

Every random choice comes from the generator that is passed in, so that an image's augmentation is a function of
(seed, epoch, index) and of nothing that happened before. Decoding and resizing are the very ones that serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vfnet_client.bounded_files import read_file
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_data.dataset import AnnotatedImage
from vfnet_images.decoding import ImageError, decode_image
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_runtime.resizing import resize_onto_canvas
from vfnet_train.errors import FinetuneError
from vfnet_train.settings import AugmentationSettings, Scale

Pixels = npt.NDArray[Any]
_MAX_IMAGE_PIXELS = 10**9  # the data are the caller's own
BRIGHTNESS_DELTA = 32.0
CONTRAST_RANGE = SATURATION_RANGE = (0.5, 1.5)
HUE_DELTA = 18.0
"""Degrees. The constants are mmdet's defaults, those of SSD (arXiv:1512.02325)."""


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """One augmented image."""

    pixels: npt.NDArray[np.float32]
    """[height, width, 3], normalised, in the network's channel order, not padded."""
    boxes: npt.NDArray[np.float32]
    """[n, 4] x1 y1 x2 y2 in pixels of `pixels`."""
    labels: npt.NDArray[np.int64]
    """[n]."""


def augment(
    image: AnnotatedImage, settings: AugmentationSettings, preprocess: PreprocessConfig, random: np.random.Generator
) -> TrainingSample:
    """Decode, resize keeping the ratio, distort colours if asked to, flip, normalise. Crowd boxes are left out.

    Raises:
        FinetuneError: the image file cannot be read.
    """
    stored = decode_image_file(image.path)
    if image.tile is not None:
        stored = np.ascontiguousarray(image.tile.of(stored))
    pixels = resize_to_fit(stored, choose_scale(settings, preprocess.img_scale, random))
    boxes = resize_boxes(image.boxes[~image.crowd], stored.shape[:2], pixels.shape[:2])
    if settings.photometric_distortion:  # after the resize, unlike mmdet: on fewer pixels
        pixels = distort_colours(pixels, random)
    if random.random() < settings.flip_probability:
        pixels, boxes = pixels[:, ::-1], flip_boxes(boxes, pixels.shape[1])
    return TrainingSample(normalise(pixels, preprocess), boxes, image.labels[~image.crowd])


def choose_scale(settings: AugmentationSettings, own: Scale, random: np.random.Generator) -> Scale:
    """mmdet's `Resize`: one of the scales, or for `range` each side between those of the two scales, ends included."""
    scales = settings.scales or (own,)
    if settings.multiscale_mode == "range":
        longest, shortest = [max(scale) for scale in scales], [min(scale) for scale in scales]
        return (
            int(random.integers(min(longest), max(longest), endpoint=True)),
            int(random.integers(min(shortest), max(shortest), endpoint=True)),
        )
    return scales[int(random.integers(len(scales)))]


def resize_boxes(
    boxes: npt.NDArray[np.float32], before: tuple[int, ...], after: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """[n, 4] x1 y1 x2 y2 after a resize from one (height, width) to another, clipped to the image."""
    (height, width), (new_height, new_width) = before, after
    factors = np.array([new_width / width, new_height / height] * 2, np.float32)
    resized: npt.NDArray[np.float32] = (boxes * factors).clip(0, np.array([new_width, new_height] * 2, np.float32))
    return resized


def flip_boxes(boxes: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """[n, 4] x1 y1 x2 y2 in the horizontally mirrored image of that width in pixels."""
    flipped = boxes.copy()
    flipped[:, 0], flipped[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return flipped


def normalise(pixels: npt.NDArray[np.generic], preprocess: PreprocessConfig) -> npt.NDArray[np.float32]:
    """[height, width, 3] RGB -> float32 of the same shape in the network's channel order, less mean, over deviation."""
    ordered = pixels if preprocess.to_rgb else pixels[:, :, ::-1]
    mean, std = np.array(preprocess.mean, np.float32), np.array(preprocess.std, np.float32)
    normalised: npt.NDArray[np.float32] = (ordered.astype(np.float32) - mean) / std
    return normalised


def decode_image_file(path: Path) -> Pixels:
    """uint8 [height, width, 3] RGB, in the frame of the stored pixels.

    Raises:
        FinetuneError: it cannot be read.
    """
    try:
        pixels: Pixels = decode_image(read_file(path, MAX_FILE_BYTES), _MAX_IMAGE_PIXELS)
    except (OSError, ImageError) as error:
        raise FinetuneError(f"{path} cannot be read: {error}") from None
    return pixels


def resize_to_fit(image: Pixels, scale: tuple[int, int]) -> Pixels:
    """Resize [height, width, 3] bilinearly to fit a scale's longest and shortest side, as mmdet and the server do."""
    resized: Pixels = resize_onto_canvas(image, scale, size_divisor=1).pixels[0]
    return resized


def distort_colours(pixels: npt.NDArray[np.generic], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Each distortion with a probability of one half, contrast before or after those in HSV.

    Args:
        pixels: [height, width, 3] RGB, 0 to 255.

    Returns:
        float32 of the same shape; values may leave 0 to 255 a little, as mmdet's do.
    """

    def toss() -> bool:
        return bool(random.integers(2))

    image = pixels.astype(np.float32)
    if toss():
        image += np.float32(random.uniform(-BRIGHTNESS_DELTA, BRIGHTNESS_DELTA))
    contrast_first = toss()
    if contrast_first and toss():
        image *= np.float32(random.uniform(*CONTRAST_RANGE))
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if toss():
        hsv[..., 1] *= np.float32(random.uniform(*SATURATION_RANGE))
    if toss():
        hsv[..., 0] = (hsv[..., 0] + np.float32(random.uniform(-HUE_DELTA, HUE_DELTA))) % 360
    image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)
    if not contrast_first and toss():
        image *= np.float32(random.uniform(*CONTRAST_RANGE))
    if toss():
        image = image[..., random.permutation(3)]
    return image
