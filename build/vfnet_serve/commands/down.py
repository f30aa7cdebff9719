"""`vfnet down`: stop the server that `vfnet up` started."""

from __future__ import annotations

import argparse
import sys

from vfnet_serve.background import StateFolder, stop
from vfnet_serve.commands.up import add_state_folder_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet down`."""
    add_state_folder_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop it; 0 whether or not one was running."""
    folder = StateFolder(arguments.state)
    with folder.locked():
        stopped = stop(folder)
    print(f"vfnet down: {'stopped' if stopped else 'no server was running'}", file=sys.stderr)
    return 0
