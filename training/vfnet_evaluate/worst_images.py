"""An image with its objects and what was detected, side by side, mistakes in red."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vfnet_client.bounded_files import open_regular
from vfnet_client.images import as_rgb
from vfnet_client.safe_text import printable_line
from vfnet_data.dataset import AnnotatedImage
from vfnet_evaluate.figures import in_a_picture
from vfnet_evaluate.matching import ImageMatches

_RIGHT, _WRONG, _NEITHER = "#2ca02c", "#e6194b", "#888888"
_LONGEST_SIDE = 1200  # enough to see, and a page of pictures stays small


def draw_mistakes(image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...]) -> Figure:
    """Left the objects, right the detections that reach the operating point.

    Green is found or right, red missed, false or of another class, grey dashed a crowd or a detection on one.

    Raises:
        OSError, ValueError: Pillow cannot read the file.
    """
    with open_regular(image.path) as file, Image.open(file) as opened:
        picture = as_rgb(opened)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    pixels = np.asarray(picture)
    height = 11 * pixels.shape[0] / (2 * pixels.shape[1])
    figure = Figure(figsize=(11, min(11.0, max(2.0, height)) + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        # In the frame of the stored pixels, whatever the size drawn.
        axes.imshow(pixels, extent=(0, image.width, image.height, 0))
        axes.set_axis_off()
    _draw_truth(left, image, matched, classes)
    _draw_found(right, image, matched, classes)
    figure.suptitle(printable_line(image.path.name, 100), fontsize=9)
    return figure


def _draw_truth(axes: Axes, image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...]) -> None:
    objects = int(np.count_nonzero(~image.crowd))
    axes.set_title(f"objects: {objects}, missed: {len(matched.missed)}", fontsize=10)
    missed = set(matched.missed.tolist())
    for index, (box, label, crowd) in enumerate(zip(image.boxes, image.labels, image.crowd, strict=True)):
        colour = _NEITHER if crowd else _WRONG if index in missed else _RIGHT
        _draw_box(axes, box, in_a_picture(classes[label]), colour, dashed=bool(crowd))


def _draw_found(axes: Axes, image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...]) -> None:
    right, found = matched.right(image), matched.found
    wrong = int(np.count_nonzero(~right & ~matched.ignored))
    axes.set_title(f"detections: {len(right)}, wrong: {wrong}", fontsize=10)
    for index in range(len(right))[::-1]:  # the best on top
        colour = _NEITHER if matched.ignored[index] else _RIGHT if right[index] else _WRONG
        text = f"{in_a_picture(classes[found.labels[index]])} {found.scores[index]:.2f}"
        _draw_box(axes, found.boxes[index], text, colour, dashed=bool(matched.ignored[index]))


def _draw_box(
    axes: Axes, box: npt.NDArray[np.float32] | npt.NDArray[np.float64], text: str, colour: str, dashed: bool
) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    line = "--" if dashed else "-"
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.6, linestyle=line))
    plate = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
    axes.text(x1, y1, text, color="white", fontsize=7, va="bottom", bbox=plate, clip_on=True)
