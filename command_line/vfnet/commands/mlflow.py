"""`vfnet mlflow`: a checkpoint -> a model folder that MLflow's own scoring server serves."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet.commands.build import add_checkpoint_arguments, options_from
from vfnet_model.checkpoints.class_names import read_class_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet mlflow`."""
    add_checkpoint_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write the MLflow model to")
    parser.epilog = (
        "Then `mlflow models serve --model-uri DIR`, or `az ml model create --type mlflow_model --path DIR`."
    )


def run(arguments: argparse.Namespace) -> int:
    """Build, write; 0."""
    from vfnet_build.mlflow_folder import write_mlflow_folder  # torch, which takes seconds to import

    classes = arguments.classes
    write_mlflow_folder(
        arguments.checkpoint,
        arguments.output,
        options_from(arguments),
        architecture=arguments.architecture,
        classes=None if classes is None else read_class_list(classes),
        accept_preprocessing=arguments.accept_preprocessing,
    )
    return 0
