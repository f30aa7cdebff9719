"""`vfnet finetune`: a checkpoint and annotated images -> a checkpoint that detects what is annotated."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet.commands.optimiser_options import add_optimiser_options, augmentation_settings, optimizer_settings
from vfnet_client.commands.options import at_least_one
from vfnet_client.safe_text import printable_lines
from vfnet_train.argument_types import class_names, positive, scale, whole
from vfnet_train.finetuning import finetune
from vfnet_train.settings import PRECISIONS, FinetuneSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet finetune`."""
    _add_data_options(parser.add_argument_group("data"))
    _add_model_options(parser.add_argument_group("checkpoint"))
    add_optimiser_options(parser)
    _add_run_options(parser.add_argument_group("run"))


def run(arguments: argparse.Namespace) -> int:
    """Train; 0."""
    outcome = finetune(_settings(arguments))
    if outcome.is_main:
        best = "" if outcome.best_ap is None else f" (AP {outcome.best_ap:.4f})"
        print(printable_lines(f"{outcome.checkpoint}{best}"), flush=True)
    return 0


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="SOURCE",
        help="AutoML JSONL, COCO JSON, or a folder of Pascal VOC; several are trained on together",
    )
    group.add_argument(
        "--images",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="where the images are, if not where the data says: one folder for all sources, or one for each",
    )
    group.add_argument("--validation", type=Path, nargs="+", default=[], metavar="SOURCE", help="data to evaluate on")
    group.add_argument(
        "--validation-images", type=Path, nargs="+", default=[], metavar="DIR", help="as --images (default: the same)"
    )
    group.add_argument(
        "--classes",
        type=class_names,
        metavar="FILE",
        help="class names in label order, one a line (default: those of the data; if the checkpoint has the same, in "
        "its order)",
    )
    group.add_argument("--keep-empty-images", action="store_true", help="train on images without boxes too")


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--init",
        required=True,
        metavar="FILE|URL|coco|demo",
        help="the checkpoint to start from: whatever `vfnet build` accepts",
    )
    group.add_argument("--architecture", metavar="NAME", help="for an --init without meta: its stock configuration")
    group.add_argument(
        "--init-classes",
        type=class_names,
        metavar="FILE",
        help="for an --init without meta: its class names, one a line",
    )
    group.add_argument(
        "--frozen-stages",
        type=int,
        metavar="N",
        help="-1: train everything; 0: freeze the stem; 1 to 4: also so many stages (default: as the checkpoint says)",
    )
    group.add_argument(
        "--test-scale",
        type=scale,
        metavar="LONGxSHORT",
        help="pixels an image is resized to fit when the result is evaluated and served (default: the training scale; "
        "of several the checkpoint's own, if it lies among them, or the largest)",
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="a new folder, or this training's own to go on"
    )
    group.add_argument("--epochs", type=at_least_one, default=15, metavar="N", help="(default: %(default)s)")
    group.add_argument(
        "--batch-size",
        type=at_least_one,
        default=4,
        metavar="N",
        help="images a step and process (default: %(default)s)",
    )
    group.add_argument(
        "--evaluate-every", type=at_least_one, default=1, metavar="N", help="epochs (default: %(default)s)"
    )
    group.add_argument(
        "--early-stopping", type=at_least_one, metavar="N", help="stop after so many evaluations without a better AP"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="f32",
        help="what convolutions compute in; losses and boxes are always f32 (default: f32)",
    )
    group.add_argument(
        "--seed", type=whole, default=42, metavar="N", help="of every random choice (default: %(default)s)"
    )
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    group.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (default: torch's choice)")
    group.add_argument(
        "--workers",
        type=whole,
        default=2,
        metavar="N",
        help="processes that read images; 0: none (default: %(default)s)",
    )
    group.add_argument(
        "--save-minutes",
        type=positive,
        default=5.0,
        metavar="MINUTES",
        help="between saved states (default: %(default)g)",
    )
    group.add_argument("--save-every", type=at_least_one, metavar="STEPS", help="also between saved states")
    group.add_argument(
        "--log-every", type=at_least_one, default=10, metavar="STEPS", help="in metrics.jsonl (default: %(default)s)"
    )


def _settings(arguments: argparse.Namespace) -> FinetuneSettings:
    return FinetuneSettings(
        data=tuple(arguments.data),
        images=tuple(arguments.images),
        validation=tuple(arguments.validation),
        validation_images=tuple(arguments.validation_images),
        classes=arguments.classes,
        keep_empty_images=arguments.keep_empty_images,
        init=arguments.init,
        architecture=arguments.architecture,
        init_classes=arguments.init_classes,
        frozen_stages=arguments.frozen_stages,
        test_scale=arguments.test_scale,
        output=arguments.output,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        optimizer=optimizer_settings(arguments),
        augmentation=augmentation_settings(arguments),
        ema_decay=arguments.ema_decay,
        precision=arguments.precision,
        seed=arguments.seed,
        evaluate_every=arguments.evaluate_every,
        early_stopping=arguments.early_stopping,
        device=arguments.device,
        threads=arguments.threads,
        workers=arguments.workers,
        save_minutes=arguments.save_minutes,
        save_steps=arguments.save_every,
        log_steps=arguments.log_every,
    )
