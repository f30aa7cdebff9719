"""The confusion matrix as a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from vfnet_evaluate.figures import in_a_picture
from vfnet_evaluate.matching import IOU_THRESHOLD, OperatingPoint

_MOST_WITH_NUMBERS, _MOST_SHOWN = 25, 200


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
