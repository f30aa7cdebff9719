"""Everything a person chooses about a training.

Defaults are those of AzureML's MMDetection fine-tuning component (`mmd_finetune_component.md` in
Azure/azureml-examples): 15 epochs, batch 4, AdamW, learning rate 5e-5 falling linearly to 0, no warm-up, no weight
decay, gradients clipped to norm 1, seed 42, an evaluation every epoch, images in the size of the checkpoint's own
config.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from vfnet_client.commands.options import at_least_one, count, fraction, scale
from vfnet_client.commands.settings_options import Count, Folder
from vfnet_data.box_layouts import LAYOUTS
from vfnet_evaluate.coco_evaluation import FIGURES
from vfnet_tiling.tiling import Tiling
from vfnet_train.argument_types import class_names, count_or_auto, norm_or_none, not_negative, positive
from vfnet_train.errors import FinetuneError

SCHEDULES = ("warmup_linear", "warmup_cosine", "step", "constant")
OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("f32", "bf16", "fp16")
MULTISCALE_MODES = ("value", "range")

Scale = tuple[int, int]
"""The longest and the shortest side an image is resized to fit, in pixels."""


@dataclass(frozen=True)
class OptimizerSettings:
    """How gradients become steps."""

    optimizer: Annotated[str, OPTIMIZERS] = "adamw"
    learning_rate: Annotated[float, positive, "RATE"] = 5e-5
    momentum: Annotated[float, fraction, "SHARE"] = 0.9
    """SGD's."""
    weight_decay: Annotated[float, not_negative, "SHARE"] = 0.0
    bias_learning_rate_factor: Annotated[float, positive, "FACTOR"] = 1.0
    """For biases that belong to no normalisation; mmdet trains VFNet with 2.

    Nor to deformable convolutions: mmdet's `bias_lr_mult`."""
    bias_weight_decay_factor: Annotated[float, not_negative, "FACTOR"] = 0.0
    """For the same biases.

    mmdet's `bias_decay_mult`."""
    max_gradient_norm: Annotated[float | None, norm_or_none, "NORM"] = 1.0
    """Gradients are scaled down to it; 0: never.

    Of all gradients together; None here: not clipped."""
    schedule: Annotated[str, SCHEDULES] = "warmup_linear"
    """Of the learning rate; step: divided by ten at --step-epochs, as mmdet's."""
    warmup_steps: Annotated[int, count, "STEPS"] = 0
    warmup_ratio: Annotated[float, fraction, "SHARE"] = 0.1
    """Of the learning rate, where the linear warm-up begins.

    mmdet's; AzureML's begins at 0."""
    step_epochs: tuple[Annotated[int, at_least_one, "EPOCH"], ...] = ()
    """For the schedule step: after which epochs (default: after 8/12 and 11/12 of them)."""


@dataclass(frozen=True)
class AugmentationSettings:
    """What happens to an image before the network sees it."""

    scales: tuple[Annotated[Scale, scale, "LONGxSHORT", "--scale"], ...] = ()
    """Pixels an image is resized to fit, keeping its ratio (default: the checkpoint's own test scale)."""
    multiscale_mode: Annotated[str, MULTISCALE_MODES] = "value"
    """Of several scales, value: one of them; range: any between the two.

    As mmdet's `Resize`."""
    flip_probability: Annotated[float, fraction, "SHARE"] = 0.5
    """Of mirrored images."""
    photometric_distortion: bool = False
    """Random brightness, contrast, saturation, hue and channel order; helps with few images."""


@dataclass(frozen=True)
class FinetuneSettings:
    """One training. What is not named in `CHANGEABLE` makes it another training.

    The options of `vfnet finetune` are made of this.
    """

    data: tuple[Annotated[Path, Path, "SOURCE"], ...]
    """AutoML JSONL, COCO JSON, or a folder of Pascal VOC; several are trained on together."""
    init: Annotated[str, "FILE|URL|coco|demo"]
    """The checkpoint to start from: whatever `vfnet build` accepts."""
    output: Folder
    """A new folder, or this training's own to go on."""
    images: tuple[Folder, ...] = ()
    """Where the images are, if not where the data says: one folder for all sources, or one for each."""
    validation: tuple[Annotated[Path, Path, "SOURCE"], ...] = ()
    """Data to evaluate on."""
    validation_images: tuple[Folder, ...] = ()
    """As --images (default: the same).

    The same if these are empty and those are one."""
    classes: Annotated[tuple[str, ...], class_names, "FILE"] | None = None
    """Class names in label order, one a line (default: those of the data; if the checkpoint has the same, in its
    order)."""
    skip_invalid: bool = False
    """Leave out images and boxes that have problems, list and count them, and go on without."""
    boxes: Annotated[str, tuple(LAYOUTS)] | None = None
    """What the four numbers of COCO's boxes are (default: found; COCO's own are xywh)."""
    architecture: Annotated[str, "NAME"] | None = None
    """For an --init without meta: its stock configuration.

    See `open_checkpoint`."""
    init_classes: Annotated[tuple[str, ...], class_names, "FILE"] | None = None
    """For an --init without meta: its class names, one a line."""
    epochs: Count = 15
    max_steps: Count | None = None
    """Stop after so many steps, whatever --epochs says; the schedule ends there."""
    batch_size: Annotated[int | None, count_or_auto, "N|auto"] = 4
    """Images a batch and process; auto: what fits on a GPU, what is fastest on a CPU.

    None: auto."""
    base_batch_size: Count | None = None
    """Images a step that --learning-rate is meant for: it grows and shrinks with those there are, as by mmdet's
    auto_scale_lr (default: 4 with --batch-size auto, otherwise the rate stays as given)."""
    gradient_accumulation: Count = 1
    """Batches whose gradients are averaged before the weights change: as a larger batch, without its memory."""
    keep_empty_images: bool = False
    """Train on images without boxes too.

    mmdet leaves them out."""
    frozen_stages: Annotated[int, "N"] | None = None
    """-1: train everything; 0: freeze the stem; 1 to 4: also so many stages (default: as the checkpoint says)."""
    test_scale: Annotated[Scale, scale, "LONGxSHORT"] | None = None
    """Pixels an image is resized to fit when the result is evaluated and served (default: the training scale; of
    several the checkpoint's own, if it lies among them, or the largest).

    See `choose_test_scale`."""
    optimizer: OptimizerSettings = OptimizerSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    tiling: Tiling | None = None
    """Train on tiles of each image, too, and evaluate in tiles; None: not."""
    ema_decay: Annotated[float, fraction, "SHARE"] | None = None
    """Evaluate and keep a moving average of the weights, such as 0.999; helps with few images (default: off)."""
    precision: Annotated[str, PRECISIONS] = "f32"
    """What convolutions compute in; losses and boxes are always f32. fp16 scales losses."""
    seed: Annotated[int, count, "N"] = 42
    """Of every random choice."""
    evaluate_every: Count = 1
    """Epochs."""
    early_stopping: Count | None = None
    """Stop after so many evaluations that are no better by --best-metric."""
    best_metric: Annotated[str, FIGURES] = "AP"
    """Which of COCO's figures chooses the checkpoint that is kept."""
    device: Annotated[str, "NAME"] | None = None
    """The processor: cpu, cuda, cuda:1 (default: a GPU if there is one)."""
    threads: Count | None = None
    """CPU threads (default: torch's choice)."""
    workers: Annotated[int, count, "N"] = 2
    """Processes that read images; 0: none."""
    save_minutes: Annotated[float, positive, "MINUTES"] = 5.0
    """Between saved states.

    And after every epoch."""
    save_steps: Annotated[int, at_least_one, "STEPS", "--save-every"] | None = None
    """Also between saved states."""
    log_steps: Annotated[int, at_least_one, "STEPS", "--log-every"] = 10
    """In metrics.jsonl."""

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise FinetuneError("; ".join(problems))


CHANGEABLE = (
    "data",
    "images",
    "validation",
    "validation_images",
    "skip_invalid",
    "boxes",
    "init",
    "output",
    "device",
    "threads",
    "workers",
    "save_minutes",
    "save_steps",
    "log_steps",
)
"""Settings that may differ when a training is resumed; data and weights are recognised by their contents."""


def identity(settings: FinetuneSettings) -> dict[str, str]:
    """Every setting that makes a training what it is, as text; nested ones by their own names."""
    found: dict[str, str] = {}
    for part in (settings, settings.optimizer, settings.augmentation):
        for field in fields(part):
            value = getattr(part, field.name)
            if field.name == "tiling" and value is None:
                continue  # trainings from before there were tiles go on
            if field.name not in CHANGEABLE and not isinstance(value, (OptimizerSettings, AugmentationSettings)):
                found[field.name] = repr(value)
    if settings.batch_size is None:
        found["batch_size"] = "auto"
    return found


def choose_test_scale(settings: FinetuneSettings, own: Scale) -> Scale:
    """`test_scale`, else the training scale; of several the checkpoint's own, if it lies among them, or the largest."""
    if settings.test_scale is not None:
        return settings.test_scale
    scales = settings.augmentation.scales
    if not scales:
        return own
    shortest, longest = [min(scale) for scale in scales], [max(scale) for scale in scales]
    if len(scales) > 1 and min(shortest) <= min(own) <= max(shortest) and min(longest) <= max(own) <= max(longest):
        return own
    return max(scales, key=lambda scale: (min(scale), max(scale)))


def _problems(settings: FinetuneSettings) -> list[str]:
    optimizer, augmentation = settings.optimizer, settings.augmentation
    problems = []
    for name, value, known in (
        ("optimizer", optimizer.optimizer, OPTIMIZERS),
        ("schedule", optimizer.schedule, SCHEDULES),
        ("precision", settings.precision, PRECISIONS),
        ("best metric", settings.best_metric, FIGURES),
        ("multiscale mode", augmentation.multiscale_mode, MULTISCALE_MODES),
    ):
        if value not in known:
            problems.append(f"the {name} is {value!r}; known are {', '.join(known)}")
    if augmentation.multiscale_mode == "range" and len(augmentation.scales) != 2:
        problems.append("the multiscale mode 'range' needs two scales, the smallest and the largest")
    if any(min(scale) < 1 for scale in augmentation.scales):
        problems.append("scales are pairs of positive numbers of pixels")
    if settings.frozen_stages is not None and not -1 <= settings.frozen_stages <= 4:
        problems.append(
            f"frozen stages are {settings.frozen_stages}; a ResNet has stages 0 (the stem) to 4, -1 is none"
        )
    if settings.ema_decay is not None and not 0 < settings.ema_decay < 1:
        problems.append(f"the EMA decay is {settings.ema_decay}; it lies between 0 and 1, such as 0.999")
    if settings.max_steps is None and any(epoch >= settings.epochs for epoch in optimizer.step_epochs):
        problems.append(f"the rate cannot fall after epoch {max(optimizer.step_epochs)} of {settings.epochs}")
    for name, number in (
        ("epochs", settings.epochs),
        ("batch size", settings.batch_size),
        ("base batch size", settings.base_batch_size),
        ("gradient accumulation", settings.gradient_accumulation),
        ("max steps", settings.max_steps),
        ("evaluate every", settings.evaluate_every),
    ):
        if number is not None and number < 1:
            problems.append(f"{name} is {number}; it is 1 at least")
    return problems
