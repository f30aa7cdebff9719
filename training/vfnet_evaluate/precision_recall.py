"""Precision/recall curves as a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_evaluate.coco_evaluation import Evaluation
from vfnet_evaluate.figures import in_a_picture

_RECALLS = np.linspace(0, 1, 101)
_IOU_THRESHOLDS = {0: "IoU 0.50", 5: "IoU 0.75"}
"""Indices into `Evaluation.precision`."""
_DISTINCT = 10
"""So many curves can be told apart by colour."""


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
