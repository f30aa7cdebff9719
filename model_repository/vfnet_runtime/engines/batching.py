"""Which images go through the network together, and on which canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vfnet_runtime.canvases import Canvas, canvas_for


@dataclass(frozen=True)
class Batch:
    """Images for one run of the network; `size` is what it is run with, places beyond the images stay empty."""

    canvas: Canvas
    images: tuple[int, ...]
    size: int


def plan_batches(shapes: Sequence[Canvas], canvases: tuple[Canvas, ...], batch_sizes: tuple[int, ...]) -> list[Batch]:
    """Put each image into one batch.

    Args:
        shapes: height and width of each image's own canvas.
        canvases: those to choose from, see `parse_canvases`; none: every image alone on its own.
        batch_sizes: those the network is run with, rising from 1.

    Returns:
        Largest canvases first; places they have left are given to smaller images.
    """
    if not canvases:
        return [Batch(shape, (image,), 1) for image, shape in enumerate(shapes)]
    waiting: dict[Canvas, list[int]] = {}
    for image, (height, width) in enumerate(shapes):
        waiting.setdefault(canvas_for(height, width, canvases), []).append(image)
    batches = []
    for canvas in sorted(waiting, key=lambda each: (each[0] * each[1], each), reverse=True):
        images = waiting[canvas]
        while images:
            size = _size_for(len(images), batch_sizes)
            chosen, images[:] = images[:size], images[size:]
            for smaller in (other for other in waiting if other[0] <= canvas[0] and other[1] <= canvas[1]):
                while smaller != canvas and len(chosen) < size and waiting[smaller]:
                    chosen.append(waiting[smaller].pop(0))
            batches.append(Batch(canvas, tuple(chosen), size))
    return batches


def _size_for(waiting: int, batch_sizes: tuple[int, ...]) -> int:
    """The largest size that is filled to three quarters."""
    return max(size for size in batch_sizes if size == batch_sizes[0] or 4 * waiting >= 3 * size)
