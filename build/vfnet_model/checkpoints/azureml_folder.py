"""The folder that AzureML's fine-tuning (finetune_acft_image, mmdetection) leaves: weights, config, augmentations.

As its `save_pretrained` and its MLflow wrapper write it: `pytorch_model.bin`, whose names begin with `model.`; the
config as `NAME.py`, with `id2label` in it; `augmentations.yaml`. An MLflow model has all three in `artifacts/`.

Whoever made the folder need not be trusted: links are followed within it only, `artifacts/` is the one folder looked
into, at most `MAX_FILES` names are, and nothing in a `.py` is executed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vfnet_client.bounded_yaml import parse_yaml
from vfnet_client.safe_text import printable_line
from vfnet_model.checkpoints.config_text import MAX_LENGTH, parse_config_text
from vfnet_model.checkpoints.errors import CheckpointError, UnsupportedModelError
from vfnet_model.checkpoints.input_files import read_input_text
from vfnet_model.checkpoints.loading import Checkpoint, load_checkpoint
from vfnet_model.checkpoints.pipeline_config import LEAST_STD
from vfnet_model.checkpoints.settings import LIMITS, Settings, shorten
from vfnet_runtime.architecture.config import PreprocessConfig

_LAYOUT = "an AzureML model folder holds pytorch_model.bin, NAME.py and augmentations.yaml, or has them in artifacts/"
MAX_FILES = 10_000
"""Names in a folder."""
MAX_CONFIGS = 8
"""Python files that are looked into."""
MAX_AUGMENTATIONS = 64 * 1024
"""Bytes of `augmentations.yaml`; AzureML writes some 1,500."""
_EXAMPLES = 3
_LABEL = re.compile(r"[0-9]{1,6}")
_WEIGHTS = ("pytorch_model.bin", "*.pth", "*.bin", "*.pt")


def load_azureml_folder(
    folder: Path, *, classes: list[str] | None = None, accept_preprocessing: bool = False
) -> Checkpoint:
    """Read a fine-tuned model's folder.

    Not reproduced is how AzureML's wrapper prepares an image: it resizes floats to a truncated size and pads black
    before it normalises. Sizes, mean and std are taken from it; order and rounding are MMDetection's.

    Args:
        folder: of the MLflow model, or of the fine-tuning's own output.
        classes: class names in label order, instead of the config's `id2label`.
        accept_preprocessing: build although images will be prepared in another way.

    Raises:
        UnsupportedModelError: unless `accept_preprocessing`.
        CheckpointError: says what the folder lacks, or which setting cannot be built.
    """
    files = _files_folder(folder)
    weights = _find_weights(files, folder)
    config_path, config, text = _find_config(files, folder)
    names = _classes(config, config_path) if classes is None else classes
    checkpoint = load_checkpoint(weights, classes=names, config_text=text)
    preprocess, digests = checkpoint.config.preprocess, [checkpoint.sha256, _sha256(text)]
    if (augmentations := files / "augmentations.yaml").exists():
        steps = read_input_text(_inside(augmentations, folder), MAX_AUGMENTATIONS, "AzureML's augmentations")
        preprocess = _read_augmentations(steps, augmentations, preprocess)
        digests.append(_sha256(steps))
    if not accept_preprocessing:
        raise UnsupportedModelError(
            f"{folder} was fine-tuned by AzureML, which resizes floats to a truncated size and pads black before it "
            "normalises; here images are prepared as MMDetection does it, so boxes will differ. Build it with "
            "--accept-preprocessing, and compare by `vfnet evaluate` on your own images"
        )
    return replace(
        checkpoint,
        config=replace(checkpoint.config, preprocess=preprocess),
        path=folder,
        sha256=_sha256("".join(digests)),
        description=f"{checkpoint.description} (fine-tuned by AzureML; images are prepared as MMDetection does it, "
        "not as AzureML does: boxes will differ)",
    )


def _files_folder(folder: Path) -> Path:
    return _inside(artifacts, folder) if (artifacts := folder / "artifacts").is_dir() else folder


def _inside(path: Path, folder: Path) -> Path:
    """`path`, unless a link leads out of the folder: what is read is what came with the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"{path} is a link that leads out of {folder}; put the file itself there")
    return path


def _find(files: Path, folder: Path, pattern: str) -> list[Path]:
    names = [path for path, _ in zip(files.glob("*"), range(MAX_FILES + 1), strict=False)]
    if len(names) > MAX_FILES:
        raise CheckpointError(f"{files} holds more than {MAX_FILES:,} files; {_LAYOUT}")
    return sorted(_inside(path, folder) for path in names if path.match(pattern))


def _find_weights(files: Path, folder: Path) -> Path:
    for pattern in _WEIGHTS:
        if found := _find(files, folder, pattern):
            if len(found) > 1:
                names = ", ".join(printable_line(path.name) for path in found[:_EXAMPLES])
                more = f" and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
                raise CheckpointError(f"{files} holds several weights: {names}{more}; give the one to build")
            return found[0]
    raise CheckpointError(f"{files} holds no weights; {_LAYOUT}")


def _find_config(files: Path, folder: Path) -> tuple[Path, dict[str, Any], str]:
    """The first Python file that is an mmdet config, what it assigns, and its text."""
    refusals = []
    for path in _find(files, folder, "*.py")[:MAX_CONFIGS]:
        try:
            text = read_input_text(path, 4 * MAX_LENGTH, "an mmdet config")
            config = parse_config_text(text)
        except CheckpointError as error:
            refusals.append(f"{printable_line(path.name)}: {error}")
            continue
        if "model" in config:
            return path, config, text
    because = f" ({'; '.join(refusals[:_EXAMPLES])})" if refusals else ""
    raise CheckpointError(f"{files} holds no mmdet config{because}; {_LAYOUT}")


def _classes(config: dict[str, Any], path: Path) -> list[str] | None:
    """`id2label`, whose keys are the label numbers, as numbers or as texts; None if there is none."""
    id2label = config.get("id2label")
    if id2label is None:
        return None
    names = {}
    if isinstance(id2label, dict) and len(id2label) <= LIMITS["num_classes"].maximum:
        names = {int(key): name for key, name in id2label.items() if _LABEL.fullmatch(str(key))}
    if not names or sorted(names) != list(range(len(id2label))):
        raise CheckpointError(
            f"{path}: id2label is {shorten(id2label)}; expected are names for the labels 0, 1, 2 and so on"
        )
    return [names[label] for label in range(len(names))]


def _read_augmentations(text: str, path: Path, preprocess: PreprocessConfig) -> PreprocessConfig:
    """The `validation` phase, which is what AzureML's wrapper predicts with."""
    try:
        phases = parse_yaml(text)
    except ValueError as error:
        raise CheckpointError(f"{path} {error}") from None
    steps = phases.get("validation") if isinstance(phases, Mapping) else None
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) and len(step) == 1 for step in steps):
        raise CheckpointError(f"{path} has no list of steps under `validation`")
    for step in steps:
        ((name, values),) = step.items()
        shown = printable_line(str(name), 80)
        settings = Settings({} if values is None else values, f"{path.name}: validation.{shown}")
        settings.ignore("p", "always_apply")
        match name:
            case "ToFloat":
                settings.only("max_value", None, 255, 255.0)
            case "ConstraintResize":
                preprocess = replace(preprocess, img_scale=_img_scale(settings))
            case "PadIfNeeded":
                preprocess = replace(preprocess, size_divisor=_size_divisor(settings))
            case "Normalize":
                preprocess = replace(preprocess, **_mean_and_std(settings))
            case _:
                raise UnsupportedModelError(
                    f"{path}: validation.{shown} is not supported; supported: ToFloat, ConstraintResize, "
                    "PadIfNeeded, Normalize"
                )
        settings.finish()
    return preprocess


def _img_scale(settings: Settings) -> tuple[int, int]:
    settings.only("keep_ratio", True)
    sides = settings.integers("img_scale")
    if len(sides) != 2:
        settings.refuse("img_scale", sides, "two sides in pixels")
    return max(sides), min(sides)


def _size_divisor(settings: Settings) -> int:
    height, width = settings.integer("pad_height_divisor"), settings.integer("pad_width_divisor")
    if height != width or height % 32:
        settings.refuse("pad_height_divisor", (height, width), "equal multiples of 32 for height and width")
    # What albumentations does without being told is to centre the image and to mirror it into the padding.
    settings.one_of("position", ("top_left",), "center")
    settings.one_of("border_mode", (0,), 4)
    settings.only("value", None, 0, (0, 0, 0))
    settings.ignore("min_height", "min_width", "mask_value")
    return height


def _mean_and_std(settings: Settings) -> dict[str, Any]:
    """In 0..255: AzureML divides both by 255, as it does the pixels."""
    settings.only("max_pixel_value", 1.0, 255.0)
    values = {}
    for key in ("mean", "std"):
        numbers = settings.numbers(key, 3)
        values[key] = tuple(round(n * 255.0, 6) if max(numbers) <= 1 else n for n in numbers)
    if min(values["std"]) < LEAST_STD:
        settings.refuse("std", values["std"], f"three numbers of at least {LEAST_STD}")
    return values


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
