"""An evaluation's pictures as PNG files: curves, the confusion matrix, the images with most mistakes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vfnet_client.atomic_files import write_inside
from vfnet_client.bounded_files import read_file
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_client.safe_text import printable_line
from vfnet_data.dataset import AnnotatedImage
from vfnet_evaluate.coco_evaluation import Evaluation
from vfnet_evaluate.matching import IOU_THRESHOLD, ImageMatches, OperatingPoint
from vfnet_images.decoding import decode_image

DOTS_PER_INCH = 110
_LONGEST_NAME = 40
_RECALLS = np.linspace(0, 1, 101)
_IOU_THRESHOLDS = {0: "IoU 0.50", 5: "IoU 0.75"}
"""Indices into `Evaluation.precision`."""
_DISTINCT = 10
"""So many curves can be told apart by colour."""
_MOST_WITH_NUMBERS, _MOST_SHOWN = 25, 200
RIGHT, WRONG, NEITHER = "#2ca02c", "#e6194b", "#888888"
_LONGEST_SIDE = 1200  # enough to see, and a page of pictures stays small


@contextmanager
def plain_texts() -> Iterator[None]:
    """Texts made in here show just their characters. Matplotlib takes what stands between dollars for TeX."""
    with rc_context({"text.parse_math": False, "text.usetex": False}):
        yield


def in_a_picture(text: str) -> str:
    """A name that leaves room for the picture."""
    return printable_line(text, _LONGEST_NAME)


def save_figure(figure: Figure, path: Path) -> None:
    """Write it whole, as PNG."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=DOTS_PER_INCH)
    write_inside(path, encoded.getvalue())


def draw_precision_recall(evaluation: Evaluation) -> Figure:
    """COCO's interpolated precision over recall, per class, at IoU 0.5 and 0.75.

    With more than ten classes only their mean and the five with the lowest AP are named.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, (index, title) in zip(figure.subplots(1, 2, sharey=True), _IOU_THRESHOLDS.items(), strict=True):
        _draw_curves(axes, evaluation, evaluation.precision[index], title)
    return figure


def _draw_curves(axes: Axes, evaluation: Evaluation, precision: npt.NDArray[np.float64], title: str) -> None:
    counted = [index for index, each in enumerate(evaluation.per_class.values()) if each.objects]
    names = list(evaluation.per_class)
    areas = {index: float(precision[:, index].mean()) for index in counted}
    named = counted if len(counted) <= _DISTINCT else sorted(counted, key=areas.__getitem__)[:5]
    for index in counted:
        if index in named:
            axes.plot(
                _RECALLS, precision[:, index], label=f"{in_a_picture(names[index])}  {areas[index]:.3f}", linewidth=1.5
            )
        else:
            axes.plot(_RECALLS, precision[:, index], color="0.8", linewidth=0.7, zorder=1)
    if counted:
        mean = precision[:, counted].mean(axis=1)
        axes.plot(_RECALLS, mean, color="black", linewidth=2.5, label=f"mean  {mean.mean():.3f}")
        axes.legend(title="class  AP", loc="lower left")
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)


def draw_confusion(classes: tuple[str, ...], counts: npt.NDArray[np.int64], operating_point: OperatingPoint) -> Figure:
    """Rows are what is there, columns what was detected; the shade is the share of the row.

    Classes that neither occur nor were detected are left out; of very many those with most mistakes are shown.
    """
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    shown = [index for index in range(len(classes)) if rows[index] or columns[index]]
    if len(shown) > _MOST_SHOWN:  # no picture has room for more
        mistaken = rows + columns - 2 * counts.diagonal()
        shown = sorted(sorted(shown, key=lambda index: -int(mistaken[index]))[:_MOST_SHOWN])
    shown.append(len(classes))
    counts = counts[np.ix_(shown, shown)]
    names = [in_a_picture(classes[index]) for index in shown[:-1]]
    numbered = len(shown) <= _MOST_WITH_NUMBERS
    side = max(5.0, (0.42 if numbered else 0.2) * len(shown) + 2.5)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[-1, -1] = np.nan  # nothing detected where nothing is: not counted
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    axes.set_xticks(
        range(len(shown)),
        [*names, "missed"],
        rotation=90 if len(shown) > 6 else 30,
        ha="right" if len(shown) <= 6 else "center",
    )
    axes.set_yticks(range(len(shown)), [*names, "background"])
    axes.set(xlabel="detected as", ylabel="is")
    axes.set_title(f"IoU {IOU_THRESHOLD}, scores from {operating_point.score_threshold:.3f} on", fontsize=10)
    if numbered:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.6 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    return figure


def draw_mistakes(image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...]) -> Figure:
    """Left the objects, right the detections that reach the operating point.

    Green is found or right, red missed, false or of another class, grey dashed a crowd or a detection on one.

    Raises:
        OSError, ValueError: the file cannot be read, as the server reads it.
    """
    figure, (left, right) = picture_beside_itself(image, 2)
    _draw_truth(left, image, matched, classes)
    draw_found(right, image, matched, classes)
    return figure


def picture_beside_itself(image: AnnotatedImage, times: int) -> tuple[Figure, list[Axes]]:
    """A figure headed by the file's name, and axes in the frame of the stored pixels that show them, so many.

    Raises:
        OSError, ValueError: the file cannot be read, as the server reads it.
    """
    picture = Image.fromarray(decode_image(read_file(image.path, MAX_FILE_BYTES)))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    pixels = np.asarray(picture)
    width = 5.5 * times
    height = width * pixels.shape[0] / (times * pixels.shape[1])
    figure = Figure(figsize=(width, min(11.0, max(2.0, height)) + 0.6), layout="constrained")
    beside = list(figure.subplots(1, times))
    for axes in beside:
        axes.imshow(pixels, extent=(0, image.width, image.height, 0))  # whatever the size drawn
        axes.set_axis_off()
    figure.suptitle(printable_line(image.path.name, 100), fontsize=9)
    return figure, beside


def _draw_truth(axes: Axes, image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...]) -> None:
    objects = int(np.count_nonzero(~image.crowd))
    axes.set_title(f"objects: {objects}, missed: {len(matched.missed)}", fontsize=10)
    missed = set(matched.missed.tolist())
    for index, (box, label, crowd) in enumerate(zip(image.boxes, image.labels, image.crowd, strict=True)):
        colour = NEITHER if crowd else WRONG if index in missed else RIGHT
        draw_box(axes, box, in_a_picture(classes[label]), colour, dashed=bool(crowd))


def draw_found(
    axes: Axes, image: AnnotatedImage, matched: ImageMatches, classes: tuple[str, ...], heading: str = "detections"
) -> None:
    """The detections that reach the operating point: green right, red wrong, grey dashed on a crowd."""
    right, found = matched.right(image), matched.found
    wrong = int(np.count_nonzero(~right & ~matched.ignored))
    axes.set_title(f"{heading}: {len(right)}, wrong: {wrong}", fontsize=10)
    for index in range(len(right))[::-1]:  # the best on top
        colour = NEITHER if matched.ignored[index] else RIGHT if right[index] else WRONG
        text = f"{in_a_picture(classes[found.labels[index]])} {found.scores[index]:.2f}"
        draw_box(axes, found.boxes[index], text, colour, dashed=bool(matched.ignored[index]))


def draw_box(
    axes: Axes, box: npt.NDArray[np.float32] | npt.NDArray[np.float64], text: str, colour: str, dashed: bool
) -> None:
    """One box, x1 y1 x2 y2 in the frame of the axes, with its text on a plate above it."""
    x1, y1, x2, y2 = (float(value) for value in box)
    line = "--" if dashed else "-"
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.6, linestyle=line))
    plate = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
    axes.text(x1, y1, text, color="white", fontsize=7, va="bottom", bbox=plate, clip_on=True)
