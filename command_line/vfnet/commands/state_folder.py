"""The options by which commands find what `vfnet up` or `vfnet serve` has left running."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet_serve.background import StateFolder


def add_state_folder_argument(parser: argparse.ArgumentParser) -> None:
    """`--state`, a folder."""
    parser.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="folder for all that is written (default: var)"
    )


def add_running_server_arguments(parser: argparse.ArgumentParser) -> None:
    """`--state`, or `--state-file` of a `vfnet serve` that was started by hand. `state_file_of` reads them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="what vfnet up was given (default: var)"
    )
    where.add_argument("--state-file", type=Path, metavar="FILE", help="what vfnet serve was given")


def state_file_of(arguments: argparse.Namespace) -> Path:
    """The state file of the server that is meant."""
    given: Path | None = arguments.state_file
    return StateFolder(arguments.state).server.state_file if given is None else given
