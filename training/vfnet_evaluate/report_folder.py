"""An evaluation as a folder: a short report and its pictures."""

from __future__ import annotations

from pathlib import Path

from vfnet_client.atomic_files import write_inside
from vfnet_client.safe_text import markdown_text
from vfnet_evaluate.pictures import draw_confusion, draw_mistakes, draw_precision_recall, plain_texts, save_figure
from vfnet_evaluate.report import EvaluationReport

REPORT, CURVES, CONFUSION = "report.md", "precision_recall.png", "confusion_matrix.png"


def write_report_folder(report: EvaluationReport, folder: Path, worst: int = 8) -> None:
    """Write `report.md`, the curves, the confusion matrix and the `worst` images with most mistakes into `folder`.

    Pictures `worst_*.png` of an earlier evaluation are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with plain_texts():
        save_figure(draw_precision_recall(report.evaluation), folder / CURVES)
        classes = report.dataset.classes
        save_figure(draw_confusion(classes, report.confusion, report.operating_point), folder / CONFUSION)
    pictures = _write_worst(report, folder, worst)
    write_inside(folder / REPORT, _markdown(report, pictures).encode())


def _write_worst(report: EvaluationReport, folder: Path, count: int) -> list[str]:
    for old in folder.glob("worst_*.png"):
        old.unlink()
    names = []
    for rank, position in enumerate(report.worst(count), 1):
        image = report.dataset.images[position]
        try:
            with plain_texts():
                figure = draw_mistakes(image, report.matches[position], report.dataset.classes)
        except (OSError, ValueError, SyntaxError):
            continue  # among the failed images, with its reason
        names.append(f"worst_{rank:02}.png")
        save_figure(figure, folder / names[-1])
    return names


def _markdown(report: EvaluationReport, pictures: list[str]) -> str:
    sections = ["# Evaluation", report.to_markdown()]
    if report.detected.notes:
        sections.append("\n".join(f"- Note: {markdown_text(note, 4000)}" for note in report.detected.notes))
    if failures := report.failures():
        listed = "\n".join(
            f"- {markdown_text(str(path), 4096)}: {markdown_text(reason, 1000)}" for _, path, reason in failures
        )
        sections.append(f"## Images that failed\n\nThey count as no detections.\n\n{listed}")
    sections.append(f"## Precision and recall\n\n![precision over recall]({CURVES})")
    sections.append(f"## Confusion matrix\n\n![confusion matrix]({CONFUSION})")
    if pictures:
        sections.append(
            "## Most mistakes\n\nLeft the objects, right the detections at the best F1. "
            "Green is found or right, red missed or wrong, grey dashed a crowd."
        )
        sections += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join(sections) + "\n"
