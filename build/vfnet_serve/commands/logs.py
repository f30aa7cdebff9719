"""`vfnet logs`: what the server that `vfnet up` started has written, and goes on to write."""

from __future__ import annotations

import argparse
import sys
import time

from vfnet_serve.background import StateFolder
from vfnet_serve.commands.state_folder import add_state_folder_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet logs`."""
    add_state_folder_argument(parser)
    parser.add_argument("--gateway", action="store_true", help="the gateway's instead of the server's")
    parser.add_argument("--no-follow", action="store_true", help="end after what is there")


def run(arguments: argparse.Namespace) -> int:
    """Print the log until Ctrl-C."""
    folder = StateFolder(arguments.state)
    log = (folder.gateway if arguments.gateway else folder.server).log
    if not log.exists():
        print(f"vfnet logs: no log in {arguments.state}: nothing was started", file=sys.stderr)
        return 1
    with log.open(encoding="utf-8", errors="replace") as lines:
        while True:
            if line := lines.readline():
                print(line, end="", flush=True)
            elif arguments.no_follow:
                return 0
            else:
                time.sleep(0.2)
