"""`vfnet logs`: what the server that `vfnet up` started has written, and goes on to write."""

from __future__ import annotations

import argparse
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path

from vfnet.commands.state_folder import add_state_folder_argument
from vfnet_serve.background import StateFolder
from vfnet_serve.supervision.control import Supervision

_LOOK_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet logs`."""
    add_state_folder_argument(parser)
    parser.add_argument("--gateway", action="store_true", help="the gateway's instead of the server's")
    parser.add_argument("--no-follow", action="store_true", help="end after what is there")


def run(arguments: argparse.Namespace) -> int:
    """Print the log until Ctrl-C."""
    folder = StateFolder(arguments.state)
    process = folder.gateway if arguments.gateway else folder.server
    if not process.log.exists():
        print(f"vfnet logs: no log in {arguments.state}: nothing was started", file=sys.stderr)
        return 1
    for text in _written(process.log, follow=not arguments.no_follow):
        print(text, end="", flush=True)
    if (reason := Supervision(folder.root).failure(process.name)) is not None:
        print(f"vfnet logs: not running: {reason}", file=sys.stderr)
    return 0


def _written(log: Path, *, follow: bool) -> Iterator[str]:
    """What a log holds, and what comes; one that has become shorter was moved away, and is read from its beginning."""
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    with log.open("rb", buffering=0) as file:
        while True:
            if chunk := file.read(65536):
                yield decoder.decode(chunk)
            elif not follow:
                return
            else:
                time.sleep(_LOOK_SECONDS)
                if file.tell() > log.stat().st_size:
                    file.seek(0)
