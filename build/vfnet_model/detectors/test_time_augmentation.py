"""Several views of one image and their boxes led back: mmdet 2.28.2's `MultiScaleFlipAug` and `merge_aug_bboxes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vfnet_model.augmentations import Augmentations
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas

Candidates = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""Boxes [K, 4] x1 y1 x2 y2, scores [K], labels [K]."""


@dataclass(frozen=True)
class View:
    """One of the pictures that the network sees of an image."""

    image: ResizedImage
    mirrored: bool = False


def views_of(
    image: npt.NDArray[np.uint8], augmentations: Augmentations, img_scale: tuple[int, int], size_divisor: int
) -> list[View]:
    """Every view of uint8 [height, width, 3], in mmdet's order: scale by scale, as it is before mirrored.

    Args:
        img_scale: where the augmentations have no scales.
        size_divisor: both sides of every canvas are multiples of it.
    """
    views = []
    for scale in augmentations.scales or (img_scale,):
        resized = resize_onto_canvas(image, scale, size_divisor)
        views.append(View(resized))
        if augmentations.flip:
            views.append(View(mirrored(resized), mirrored=True))
    return views


def mirrored(image: ResizedImage) -> ResizedImage:
    """Left and right exchanged; the padding stays at the right and the bottom, since mmdet mirrors before it pads."""
    height, width = image.valid_shape[0]
    pixels = image.pixels.copy()
    pixels[:, :height, :width] = image.pixels[:, :height, :width][:, :, ::-1]
    return replace(image, pixels=pixels)


def boxes_in_stored_image(boxes: npt.NDArray[np.float32], view: View) -> npt.NDArray[np.float32]:
    """mmdet's `bbox_mapping_back`, in float32 as there.

    Args:
        boxes: float32 [K, 4] x1 y1 x2 y2 in pixels of the view.

    Returns:
        float32 [K, 4] x1 y1 x2 y2 in pixels of the stored image.
    """
    if view.mirrored:
        width = np.float32(view.image.valid_shape[0, 1])
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([width - x2, y1, width - x1, y2], axis=1)
    scale_factor = view.image.geometry[0, 2:]
    led_back: npt.NDArray[np.float32] = boxes / np.concatenate([scale_factor, scale_factor])
    return led_back


def merged(views: Sequence[View], found: Sequence[Candidates]) -> Candidates:
    """mmdet's `merge_aug_bboxes`: the candidates of all views as one image's, before its one suppression.

    Args:
        found: of each view, boxes in pixels of the view; score 0 where there is no candidate.

    Returns:
        Boxes in pixels of the stored image; candidates of equal score in the order of the views.
    """
    boxes = [boxes_in_stored_image(boxes, view) for view, (boxes, _, _) in zip(views, found, strict=True)]
    _, scores, labels = zip(*found, strict=True)
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels)
