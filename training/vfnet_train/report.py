"""What a training leaves for people: curves as a picture, every figure as JSON, a short page."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure

from vfnet_client.atomic_files import write_inside
from vfnet_client.safe_text import markdown_text
from vfnet_train.metrics import Record
from vfnet_train.preparation import Preparation
from vfnet_train.run_folder import BEST_CHECKPOINT, LAST_CHECKPOINT
from vfnet_train.training_state import Position

CURVES, FIGURES, PAGE = "curves.png", "metrics.json", "report.md"
_LOSSES = {
    "loss": "together",
    "loss_cls": "classes (varifocal)",
    "loss_bbox": "first boxes (GIoU)",
    "loss_bbox_rf": "refined boxes (GIoU)",
}
_SOME_CLASSES = 200
_PRECISIONS = ("AP", "AP50", "AP75")


def write_report(output: Path, preparation: Preparation, records: Sequence[Record], position: Position) -> None:
    """Write `CURVES`, `FIGURES` and `PAGE` beside the checkpoints."""
    epochs = [record for record in records if record["kind"] == "epoch"]
    if not epochs:
        return
    write_inside(output / CURVES, draw_curves(epochs))
    document: dict[str, Any] = {
        "checkpoint": BEST_CHECKPOINT if position.best_epoch else LAST_CHECKPOINT,
        "best_epoch": position.best_epoch or None,
        "best": _record_of(epochs, position.best_epoch),
        "last": epochs[-1],
        "epochs": epochs,
        "training_images": len(preparation.training),
        "validation_images": len(preparation.validation.images) if preparation.validation else 0,
        "settings": preparation.identity,
    }
    write_inside(output / FIGURES, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    write_inside(output / PAGE, _page(preparation, epochs, position).encode())


def draw_curves(epochs: Sequence[Record]) -> bytes:
    """Losses by epoch, and beside them AP by epoch if there was any evaluation, as a PNG."""
    evaluated = [record for record in epochs if "AP" in record]
    figure = matplotlib.figure.Figure(figsize=(11, 4.2) if evaluated else (6, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if evaluated else 1, squeeze=False)[0]
    marker = "o" if len(epochs) == 1 else None
    for name, words in _LOSSES.items():
        width = 2.0 if name == "loss" else 1.2
        axes[0].plot(*_points(epochs, name), label=words, linewidth=width, marker=marker)
    axes[0].set(title="Training loss, mean of the epoch", xlabel="epoch", ylabel="loss")
    axes[0].set_ylim(bottom=0)
    if evaluated:
        marker = "o" if len(evaluated) < 20 else None
        for name in _PRECISIONS:
            axes[1].plot(*_points(evaluated, name), label=name, marker=marker, markersize=4)
        axes[1].set(title="Validation", xlabel="epoch", ylabel="average precision", ylim=(0, 1))
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _points(records: Sequence[Record], name: str) -> tuple[list[int], list[float]]:
    return [record["epoch"] for record in records], [record[name] for record in records]


def _record_of(epochs: Sequence[Record], epoch: int) -> Record | None:
    return next((record for record in epochs if record["epoch"] == epoch), None)


def _page(preparation: Preparation, epochs: Sequence[Record], position: Position) -> str:
    kept = BEST_CHECKPOINT if position.best_epoch else LAST_CHECKPOINT
    classes = preparation.config.classes
    lines = [
        "# Training report",
        "",
        f"Started from: {markdown_text(preparation.checkpoint.description, 1000)}.",
        "",
        f"* {len(preparation.training)} training images, {len(classes)} classes: {_listed(classes)}",
        f"* {epochs[-1]['epoch']} epochs, {position.step} steps, {position.seconds / 60:.1f} minutes of training",
        f"* the checkpoint to use: `{kept}`, after epoch {position.best_epoch or position.epoch}",
        "",
        f"![Losses and average precision by epoch]({CURVES})",
        "",
    ]
    best = _record_of(epochs, position.best_epoch)
    if best is not None and preparation.validation is not None:
        lines += [f"`{kept}` on the {len(preparation.validation.images)} validation images:", ""]
        lines += ["| figure | value |", "|---|--:|", *(f"| {name} | {best[name]:.4f} |" for name in _PRECISIONS), ""]
        lines += ["| class | AP |", "|---|--:|"]
        lines += [f"| {markdown_text(name)} | {ap:.4f} |" for name, ap in best["per_class_AP"].items()]
        lines += [""]
    lines += ["| setting | value |", "|---|---|"]
    lines += [
        f"| {name.replace('_', ' ')} | {markdown_text(value, 1000)} |" for name, value in preparation.identity.items()
    ]
    return "\n".join(lines) + "\n"


def _listed(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - _SOME_CLASSES} more" if len(classes) > _SOME_CLASSES else ""
    return ", ".join(map(markdown_text, classes[:_SOME_CLASSES])) + more
