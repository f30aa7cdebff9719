"""`vfnet down`: stop all that `vfnet up` has left running."""

from __future__ import annotations

import argparse
import sys

from vfnet.commands.state_folder import add_state_folder_argument
from vfnet_serve.background import StateFolder
from vfnet_serve.supervision.control import Supervision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet down`."""
    add_state_folder_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop them, the gateway first, so that it can finish; 0 whether or not they were running."""
    folder = StateFolder(arguments.state)
    with folder.locked():
        stopped = Supervision(folder.root).end()
        # What a version without a supervisor had started.
        stopped += [each.name for each in (folder.gateway, folder.server) if each.stop() and each.name not in stopped]
        stopped.sort()  # the gateway first
    said = f"stopped {' and '.join(stopped)}" if stopped else "no server was running"
    print(f"vfnet down: {said}", file=sys.stderr)
    return 0
