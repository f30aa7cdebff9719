"""Everything that can be chosen about the demonstration checkpoint; the defaults made the one in the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vfnet_train.settings import AugmentationSettings, FinetuneSettings, OptimizerSettings, Scale


@dataclass(frozen=True)
class DemonstrationSettings:
    """One making of the checkpoint."""

    photos: Path
    """The folder odFridgeObjects, with `images` and `automl_jsonl`."""
    backbone: Path
    """The .npz of a ResNet-50 of half width."""
    output: Path
    scenes: int = 140
    """Rendered for training."""
    validation_scenes: int = 40
    """Rendered for the model card's figures."""
    scale: Scale = (416, 320)
    """Longest and shortest side that images are resized to fit, in training and where the checkpoint is served."""
    epochs: int = 18
    batch_size: int = 4
    learning_rate: float = 5e-4
    ema_decay: float = 0.99
    precision: str = "bf16"
    seed: int = 0
    """Of the training: order and augmentation. The initial weights are always the same."""
    threads: int | None = None

    @property
    def training_photos(self) -> Path:
        """The photos' training split, AutoML JSONL."""
        return self.photos / "automl_jsonl" / "training.jsonl"

    @property
    def validation_photos(self) -> Path:
        """The photos' validation split."""
        return self.photos / "automl_jsonl" / "validation.jsonl"

    def finetuning(self, init: Path, rendered: Path, output: Path) -> FinetuneSettings:
        """The training's settings, from the initial checkpoint and the rendered scenes' annotations."""
        return FinetuneSettings(
            data=(self.training_photos, rendered),
            images=(self.photos, rendered.parent),
            validation=(self.validation_photos,),
            validation_images=(self.photos,),
            init=str(init),
            output=output,
            epochs=self.epochs,
            batch_size=self.batch_size,
            frozen_stages=1,
            test_scale=self.scale,
            optimizer=OptimizerSettings(
                learning_rate=self.learning_rate, weight_decay=0.05, schedule="warmup_cosine", warmup_steps=60
            ),
            augmentation=AugmentationSettings(photometric_distortion=True),
            ema_decay=self.ema_decay,
            precision=self.precision,
            seed=self.seed,
            evaluate_every=6,
            threads=self.threads,
        )
