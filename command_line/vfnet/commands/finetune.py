"""`vfnet finetune`: a checkpoint and annotated images -> a checkpoint that detects what is annotated."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_client.commands.tiling_options import add_tiling_arguments, tiling_from
from vfnet_client.safe_text import printable_lines
from vfnet_model.manifest import BuildOptions
from vfnet_train.finetuning import finetune
from vfnet_train.settings import AugmentationSettings, FinetuneSettings, OptimizerSettings

PARSER = SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet finetune`."""
    add_options(
        parser.add_argument_group("data"), FinetuneSettings,
        "data", "images", "validation", "validation_images", "classes", "keep_empty_images",
        "skip_invalid", "boxes",
    )  # fmt: skip
    add_options(
        parser.add_argument_group("checkpoint"), FinetuneSettings,
        "init", "architecture", "init_classes", "frozen_stages", "test_scale",
    )  # fmt: skip
    optimiser = parser.add_argument_group("optimiser")
    add_options(optimiser, OptimizerSettings)
    add_options(optimiser, FinetuneSettings, "ema_decay")
    add_options(parser.add_argument_group("augmentation"), AugmentationSettings)
    add_tiling_arguments(parser, "tiles: also train on parts of each image, for small objects, and evaluate in them")
    add_options(
        parser.add_argument_group("run"), FinetuneSettings,
        "output", "epochs", "max_steps", "batch_size", "base_batch_size", "gradient_accumulation", "evaluate_every",
        "early_stopping", "best_metric", "precision", "seed", "device", "threads",
        "workers", "save_minutes", "save_steps", "log_steps",
    )  # fmt: skip
    parser.add_argument(
        "--mlflow",
        type=Path,
        metavar="DIR",
        help="also write the best checkpoint there, as `vfnet mlflow` does: a model folder that MLflow serves",
    )


def settings_of(arguments: argparse.Namespace) -> FinetuneSettings:
    """The training that a command line describes."""
    return settings_from(
        FinetuneSettings,
        arguments,
        optimizer=settings_from(OptimizerSettings, arguments),
        augmentation=settings_from(AugmentationSettings, arguments),
        tiling=tiling_from(arguments),
    )


def check_mlflow_folder(arguments: argparse.Namespace) -> None:
    """Refuse a --mlflow that cannot be, before hours of work. Raises RepositoryError."""
    if arguments.mlflow is not None:
        from vfnet_build import mlflow_folder

        mlflow_folder.check_folder(arguments.mlflow)


def write_mlflow_folder(arguments: argparse.Namespace, checkpoint: Path) -> None:
    """What --mlflow asks for, if it does."""
    if arguments.mlflow is not None:
        from vfnet_build import mlflow_folder

        mlflow_folder.write_mlflow_folder(str(checkpoint), arguments.mlflow, BuildOptions())


def run(arguments: argparse.Namespace) -> int:
    """Train; 0."""
    settings = settings_of(arguments)
    check_mlflow_folder(arguments)
    outcome = finetune(settings)
    if outcome.is_main:
        write_mlflow_folder(arguments, outcome.checkpoint)
        best = "" if outcome.best_figure is None else f" ({settings.best_metric} {outcome.best_figure:.4f})"
        print(printable_lines(f"{outcome.checkpoint}{best}"), flush=True)
    return 0
