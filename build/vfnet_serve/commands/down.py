"""`vfnet down`: stop the gateway and the server that `vfnet up` started."""

from __future__ import annotations

import argparse
import sys

from vfnet_serve.background import StateFolder
from vfnet_serve.commands.state_folder import add_state_folder_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet down`."""
    add_state_folder_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop them, the gateway first, so that it can finish; 0 whether or not they were running."""
    folder = StateFolder(arguments.state)
    with folder.locked():
        stopped = [process.name for process in (folder.gateway, folder.server) if process.stop()]
    said = f"stopped {' and '.join(stopped)}" if stopped else "no server was running"
    print(f"vfnet down: {said}", file=sys.stderr)
    return 0
