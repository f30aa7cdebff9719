"""Everything a person chooses about a training.

Defaults are those of AzureML's MMDetection fine-tuning component (`mmd_finetune_component.md` in
Azure/azureml-examples): 15 epochs, batch 4, AdamW, learning rate 5e-5 falling linearly to 0, no warm-up, no weight
decay, gradients clipped to norm 1, seed 42, an evaluation every epoch, images in the size of the checkpoint's own
config.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from vfnet_train.errors import FinetuneError

SCHEDULES = ("warmup_linear", "warmup_cosine", "step", "constant")
OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("f32", "bf16")
MULTISCALE_MODES = ("value", "range")

Scale = tuple[int, int]
"""The longest and the shortest side an image is resized to fit, in pixels."""


@dataclass(frozen=True)
class OptimizerSettings:
    """How gradients become steps."""

    optimizer: str = "adamw"
    learning_rate: float = 5e-5
    momentum: float = 0.9
    """SGD's."""
    weight_decay: float = 0.0
    bias_learning_rate_factor: float = 1.0
    """For biases other than those of normalisation and deformable convolutions: mmdet's `bias_lr_mult`."""
    bias_weight_decay_factor: float = 0.0
    """For the same biases: mmdet's `bias_decay_mult`."""
    max_gradient_norm: float | None = 1.0
    """Of all gradients together; None: not clipped."""
    schedule: str = "warmup_linear"
    warmup_steps: int = 0
    warmup_ratio: float = 0.1
    """Where the warm-up begins, as a share of the learning rate. mmdet's; AzureML's begins at 0."""
    step_epochs: tuple[int, ...] = ()
    """After how many epochs the schedule `step` divides the rate by ten; empty: after 2/3 and 11/12 of them."""


@dataclass(frozen=True)
class AugmentationSettings:
    """What happens to an image before the network sees it."""

    scales: tuple[Scale, ...] = ()
    """Empty: the checkpoint's own test scale."""
    multiscale_mode: str = "value"
    """Of several scales, mmdet's `Resize`: `value` takes one of them, `range` any between the first two."""
    flip_probability: float = 0.5
    photometric_distortion: bool = False


@dataclass(frozen=True)
class FinetuneSettings:
    """One training. What is not named in `CHANGEABLE` makes it another training."""

    data: tuple[Path, ...]
    """AutoML JSONL or COCO JSON files, Pascal VOC folders; several are trained on together."""
    init: str
    """Any checkpoint `vfnet build` accepts."""
    output: Path
    images: tuple[Path, ...] = ()
    """Folders where the images are, if not where the data says."""
    validation: tuple[Path, ...] = ()
    validation_images: tuple[Path, ...] = ()
    """As `images`, which serve here too if these are empty and those are one."""
    classes: tuple[str, ...] | None = None
    architecture: str | None = None
    init_classes: tuple[str, ...] | None = None
    """Both for an `init` without metadata: see `open_checkpoint`."""
    epochs: int = 15
    batch_size: int = 4
    """Images a step, in each process."""
    keep_empty_images: bool = False
    """mmdet leaves images without boxes out."""
    frozen_stages: int | None = None
    """-1: nothing is frozen; 0: the stem; n: the stem and n stages. None: as the checkpoint's config says."""
    test_scale: Scale | None = None
    """What the checkpoint written is evaluated and served at. None: see `choose_test_scale`."""
    optimizer: OptimizerSettings = OptimizerSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    ema_decay: float | None = None
    precision: str = "f32"
    seed: int = 42
    evaluate_every: int = 1
    """Epochs."""
    early_stopping: int | None = None
    """Stop after so many evaluations without a better AP."""
    device: str | None = None
    """None: CUDA if it is there."""
    threads: int | None = None
    workers: int = 2
    save_minutes: float = 5.0
    """The state is saved so often, and after every epoch."""
    save_steps: int | None = None
    """And every so many steps."""
    log_steps: int = 10
    """A line in the metrics so often."""

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise FinetuneError("; ".join(problems))


CHANGEABLE = (
    "data",
    "images",
    "validation",
    "validation_images",
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
            if field.name not in CHANGEABLE and not isinstance(value, (OptimizerSettings, AugmentationSettings)):
                found[field.name] = repr(value)
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
    if any(epoch >= settings.epochs for epoch in optimizer.step_epochs):
        problems.append(f"the rate cannot fall after epoch {max(optimizer.step_epochs)} of {settings.epochs}")
    for name, number in (
        ("epochs", settings.epochs),
        ("batch size", settings.batch_size),
        ("evaluate every", settings.evaluate_every),
    ):
        if number < 1:
            problems.append(f"{name} is {number}; it is 1 at least")
    return problems
