"""`vfnet deployments`: what a running server has loaded, and what answers under which name."""

from __future__ import annotations

import argparse
import json

from vfnet.commands.state_folder import add_running_server_arguments, state_file_of
from vfnet.remote import ask_there
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.listing import deployments, table
from vfnet_deploy.remote_requests import DEPLOYMENTS
from vfnet_deploy.running_server import RunningServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet deployments`."""
    add_running_server_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a list of records instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Print them; 0."""
    if arguments.server is not None:
        return ask_there(arguments, DEPLOYMENTS, {"json": True} if arguments.json else {})
    found = deployments(RunningServer.find(state_file_of(arguments)))
    print(json.dumps(found, indent=2) if arguments.json else printable_lines(table(found)), flush=True)
    return 0
