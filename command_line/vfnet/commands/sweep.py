"""`vfnet sweep`: several trainings that differ in some options -> the best checkpoint, a table and a plot."""

from __future__ import annotations

import argparse

from vfnet.commands import finetune
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_client.safe_text import printable_lines
from vfnet_train.sweep.search_space import shown
from vfnet_train.sweep.settings import SweepSettings
from vfnet_train.sweep.sweeping import sweep

PARSER = SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet sweep`: its own, and those of `vfnet finetune`."""
    add_options(parser.add_argument_group("sweep"), SweepSettings)
    finetune.add_arguments(parser)
    parser.epilog = (
        "All other options are those of vfnet finetune, for every trial. Stopped or killed, the same command goes on; "
        "with a larger --max-trials it tries more."
    )


def run(arguments: argparse.Namespace) -> int:
    """Sweep, and print the table and where the best checkpoint is; 0."""
    finetune.check_mlflow_folder(arguments)
    outcome = sweep(finetune.settings_of(arguments), settings_from(SweepSettings, arguments))
    finetune.write_mlflow_folder(arguments, outcome.checkpoint)
    best = outcome.results.best
    print(outcome.results.to_text(), flush=True)
    if best is not None:
        told = f"{outcome.results.metric} {best.figure:.4f}, trial {best.trial.name}: {shown(best.trial.point)}"
        print(printable_lines(f"{outcome.checkpoint} ({told})"), flush=True)
    return 0
