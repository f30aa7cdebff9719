"""Random brightness, contrast, saturation, hue and channel order: MMDetection 2.28.2's `PhotoMetricDistortion`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

BRIGHTNESS_DELTA = 32.0
CONTRAST_RANGE = SATURATION_RANGE = (0.5, 1.5)
HUE_DELTA = 18.0
"""Degrees. The constants are mmdet's defaults, those of SSD (arXiv:1512.02325)."""


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
