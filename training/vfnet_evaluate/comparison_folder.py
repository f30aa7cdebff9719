"""A comparison as a folder: a short report and its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_client.atomic_files import write_inside
from vfnet_client.safe_text import markdown_text
from vfnet_evaluate.comparison import Comparison, ImageChange
from vfnet_evaluate.error_kinds import KINDS
from vfnet_evaluate.pictures import (
    NEITHER,
    RIGHT,
    WRONG,
    draw_box,
    draw_found,
    in_a_picture,
    picture_beside_itself,
    plain_texts,
    save_figure,
)
from vfnet_evaluate.report import EvaluationReport

REPORT, ERRORS, CLASSES = "comparison.md", "error_kinds.png", "classes.png"
_COLOURS = ("0.8", "0.93", "#4f82bd", "#c04f4d", "#5ce661", "#8064a3", "#ff9900")
"""Of `KINDS`: those of MMDetection's tool, with two greys for its white."""
_MOST_BARS = 40
_GAINED, _LOST = "#1f77b4", WRONG


def write_comparison_folder(comparison: Comparison, folder: Path, most: int = 8) -> None:
    """Write `comparison.md`, the error kinds, the classes, and the `most` images gained and lost into `folder`.

    Pictures `gained_*.png` and `lost_*.png` of an earlier comparison are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with plain_texts():
        save_figure(draw_error_kinds(comparison), folder / ERRORS)
        save_figure(draw_class_changes(comparison), folder / CLASSES)
    gained = _write_images(comparison, folder, "gained", comparison.improved[:most])
    lost = _write_images(comparison, folder, "lost", comparison.worsened[:most])
    write_inside(folder / REPORT, _markdown(comparison, gained, lost, most).encode())


def draw_error_kinds(comparison: Comparison) -> Figure:
    """COCO's stacked curves of A and of B, the mean over the classes; the legend has the area below each."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    sides = zip(figure.subplots(1, 2, sharey=True), "AB", (comparison.kinds_a, comparison.kinds_b), strict=True)
    for axes, name, kinds in sides:
        curves = kinds.curves()
        recalls = np.linspace(0, 1, curves.shape[1])
        below = np.zeros(curves.shape[1])
        for kind, curve, colour in zip(KINDS, curves, _COLOURS, strict=True):
            label = f"{kind}  {kinds.area(kind):.3f}"
            axes.fill_between(recalls, below, curve, color=colour, edgecolor="none", label=label)
            axes.plot(recalls, curve, color="black", linewidth=0.6)
            below = curve
        axes.set(title=name, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="lower left", facecolor="0.93", framealpha=1)
    return figure


def draw_class_changes(comparison: Comparison) -> Figure:
    """How many points of AP each class gained or lost; of very many classes those that changed most."""
    counted = [(name, each) for name, each in comparison.classes.items() if each.objects][:_MOST_BARS]
    ranked = sorted(counted, key=lambda item: item[1].ap_b - item[1].ap_a)
    points = [100 * (each.ap_b - each.ap_a) for _, each in ranked]
    figure = Figure(figsize=(9, max(2.0, 0.28 * len(ranked) + 1)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(ranked)), points, color=[_LOST if value < 0 else _GAINED for value in points])
    axes.bar_label(bars, labels=[f"{value:+.1f}" for value in points], padding=3, fontsize=8)
    axes.set_yticks(range(len(ranked)), [in_a_picture(name) for name, _ in ranked])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.15)
    axes.set(xlabel="AP of B less AP of A, in points")
    return figure


def draw_image_change(comparison: Comparison, change: ImageChange) -> Figure:
    """Left the objects and who finds them, then A's detections, then B's, each at its own operating point.

    Raises:
        OSError, ValueError: the file cannot be read, as the server reads it.
    """
    image, classes = comparison.dataset.images[change.position], comparison.dataset.classes
    figure, (left, middle, right) = picture_beside_itself(image, 3)
    _draw_objects(left, comparison, change)
    for axes, name, report in ((middle, "A", comparison.a), (right, "B", comparison.b)):
        draw_found(axes, image, report.matches[change.position], classes, heading=name)
    return figure


def _draw_objects(axes: Axes, comparison: Comparison, change: ImageChange) -> None:
    image, classes = comparison.dataset.images[change.position], comparison.dataset.classes
    matched = comparison.a.matches[change.position]
    found_by_a = set(matched.truth_of[matched.right(image)].tolist())
    gained, lost = set(change.gained.tolist()), set(change.lost.tolist())
    axes.set_title(f"gained: {len(gained)}, lost: {len(lost)}", fontsize=10)
    for index, (box, label, crowd) in enumerate(zip(image.boxes, image.labels, image.crowd, strict=True)):
        colour, word = (
            (_GAINED, "gained ")
            if index in gained
            else (_LOST, "lost ")
            if index in lost
            else (RIGHT, "")
            if index in found_by_a
            else (NEITHER, "" if crowd else "missed ")
        )
        draw_box(axes, box, word + in_a_picture(classes[label]), colour, dashed=colour == NEITHER)


def _write_images(comparison: Comparison, folder: Path, stem: str, changes: list[ImageChange]) -> list[str]:
    for old in folder.glob(f"{stem}_*.png"):
        old.unlink()
    names = []
    for rank, change in enumerate(changes, 1):
        try:
            with plain_texts():
                figure = draw_image_change(comparison, change)
        except (OSError, ValueError, SyntaxError):
            continue  # among the failed images, with its reason
        names.append(f"{stem}_{rank:02}.png")
        save_figure(figure, folder / names[-1])
    return names


def _markdown(comparison: Comparison, gained: list[str], lost: list[str], most: int) -> str:
    sections = ["# Comparison", comparison.to_markdown(most)]
    for name, report in (("A", comparison.a), ("B", comparison.b)):
        sections += _remarks(name, report)
    sections += [
        f"## Kinds of errors\n\n![precision over recall]({ERRORS})",
        "From curve to curve more is forgiven: C75 and C50 are IoU 0.75 and 0.5, Loc an inexact place (IoU 0.1), "
        "Sim also classes of one supercategory taken for each other, Oth any classes, BG the background, "
        "FN what is missed.",
        f"## Classes\n\n![AP of the classes]({CLASSES})",
    ]
    if gained or lost:
        sections.append(
            "Left the objects: blue gained, red lost, green found by both, grey dashed missed by both or a crowd. "
            "Then the detections of A and of B: green right, red wrong, grey dashed on a crowd."
        )
    for heading, names in (("Most gained", gained), ("Most lost", lost)):
        if names:
            sections.append(f"## {heading}")
            sections += [f"![{name}]({name})" for name in names]
    return "\n\n".join(sections) + "\n"


def _remarks(name: str, report: EvaluationReport) -> list[str]:
    """Notes about labels, and the images that failed."""
    notes = [f"- Note on {name}: {markdown_text(note, 4000)}" for note in report.detected.notes]
    failed = [
        f"- Failed in {name}, counts as no detections: {markdown_text(str(path), 4096)}: {markdown_text(reason, 1000)}"
        for _, path, reason in report.failures()
    ]
    return ["\n".join(notes + failed)] if notes or failed else []
