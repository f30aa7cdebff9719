"""From photos, rendered scenes and a backbone to the demonstration checkpoint and its model card."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from demonstration.figures import evaluate_checkpoint
from demonstration.half_precision import write_half_precision
from demonstration.initial_checkpoint import write_initial_checkpoint
from demonstration.model_card import write_model_card
from demonstration.rendered_scenes.dataset import ANNOTATIONS, write_rendered_dataset
from demonstration.rendered_scenes.scene_seeds import TRAINING_SEED, VALIDATION_SEED
from demonstration.settings import DemonstrationSettings
from vfnet_client.atomic_files import write_whole
from vfnet_data.dataset import DatasetError
from vfnet_train.finetuning import finetune
from vfnet_train.run_folder import LAST_CHECKPOINT

CHECKPOINT_NAME, CARD_NAME = "vfnet_demo_fridge.pth", "MODEL_CARD.md"


@dataclass(frozen=True)
class Demonstration:
    """What was made."""

    checkpoint: Path
    model_card: Path


def make_demonstration(settings: DemonstrationSettings, command: str, trained: Path | None = None) -> Demonstration:
    """Render, train, shrink, evaluate, describe. Called again with the same settings it goes on where it stopped.

    The weights after the last epoch are kept, not those that do best on the validation photos: these photos choose
    nothing, so the figures on them are fair.

    Args:
        command: what was typed, for the model card.
        trained: weights that such a training left elsewhere; nothing is trained then.

    Raises:
        DatasetError: the photos are not what is expected.
        CheckpointError, FinetuneError: see `finetune`.
    """
    _check_photos(settings)
    settings.output.mkdir(parents=True, exist_ok=True)
    held_out = _render(settings.output / "scenes" / "validation", settings.validation_scenes, VALIDATION_SEED)
    checkpoint = settings.output / CHECKPOINT_NAME
    write_half_precision(trained or _train(settings), checkpoint)
    _say("evaluating")
    figures = {
        "the photos' validation split": evaluate_checkpoint(checkpoint, settings.validation_photos, settings.photos),
        "rendered scenes, held out": evaluate_checkpoint(checkpoint, held_out, held_out.parent),
    }
    card = settings.output / CARD_NAME
    write_whole(card, write_model_card(settings, checkpoint, figures, command).encode())
    return Demonstration(checkpoint, card)


def _train(settings: DemonstrationSettings) -> Path:
    """The weights after the last epoch."""
    rendered = _render(settings.output / "scenes" / "train", settings.scenes, TRAINING_SEED)
    initial = settings.output / "initial.pth"
    if not initial.exists():
        write_initial_checkpoint(settings.backbone, initial, settings.scale)
    training = settings.output / "training"
    finetune(settings.finetuning(initial, rendered, training))
    return training / LAST_CHECKPOINT


def _render(folder: Path, count: int, first_seed: int) -> Path:
    """The data set's annotations; rendered only if they are not there."""
    annotations = folder / f"{count}_from_{first_seed}" / ANNOTATIONS
    if annotations.exists():
        return annotations
    _say(f"rendering {count} scenes into {annotations.parent}")
    return write_rendered_dataset(annotations.parent, count, first_seed, processes=os.cpu_count() or 1)


def _check_photos(settings: DemonstrationSettings) -> None:
    expected = (settings.photos / "images", settings.training_photos, settings.validation_photos)
    if missing := [str(path.relative_to(settings.photos)) for path in expected if not path.exists()]:
        problems = [f"there is no {name}; expected is the folder odFridgeObjects" for name in missing]
        raise DatasetError(settings.photos, problems)


def _say(message: str) -> None:
    print(f"demonstration: {message}", file=sys.stderr, flush=True)
