"""`vfnet rollback`: back to the deployment that was kept."""

from __future__ import annotations

import argparse
import sys

from vfnet.commands.state_folder import add_running_server_arguments, state_file_of
from vfnet.remote import ask_there
from vfnet_client.commands.options import public_name
from vfnet_client.model_names import MODEL
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.deploying import rollback
from vfnet_deploy.remote_requests import ROLLBACK
from vfnet_deploy.running_server import RunningServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet rollback`."""
    parser.add_argument(
        "name", type=public_name, nargs="?", default=MODEL, metavar="NAME", help="the model (default: %(default)s)"
    )
    add_running_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Turn the public name back; 0 when it is."""
    if arguments.server is not None:
        return ask_there(arguments, ROLLBACK, {"model": arguments.name})
    rollback(arguments.name, RunningServer.find(state_file_of(arguments)), say)
    return 0


def say(message: str) -> None:
    """What it tells, on stderr."""
    print(printable_lines(f"vfnet rollback: {message}"), file=sys.stderr, flush=True)
