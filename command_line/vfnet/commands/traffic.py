"""`vfnet traffic`: which deployment gets which share of the requests, in the file that the gateway reads."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vfnet.commands.state_folder import add_state_folder_argument
from vfnet_client.exceptions import CommandError
from vfnet_client.model_names import MODEL, check_model_name
from vfnet_gateway.traffic.split import (
    TrafficSplit,
    change_split,
    read_percents,
    read_traffic,
    render_traffic,
)
from vfnet_serve.background import StateFolder
from vfnet_serve.served_models import served_ensembles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet traffic`."""
    parser.add_argument(
        "share", nargs="*", metavar="NAME=PERCENT",
        help="deployments and their shares, together 100; the first is the live one. None: print what is in force",
    )  # fmt: skip
    parser.add_argument(
        "--mirror", action="append", default=[], metavar="NAME=PERCENT",
        help="send a deployment copies of so many of the live one's images, to compare the answers; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--sticky-header", metavar="HEADER",
        help="requests with the same value of this header go to the same deployment, such as X-User",
    )  # fmt: skip
    parser.add_argument("--clear", action="store_true", help="no split: all requests go to the model they ask for")
    parser.add_argument(
        "--model", default=MODEL, metavar="NAME", help="the public model that is split (default: %(default)s)"
    )  # fmt: skip
    add_traffic_file_arguments(parser)


def add_traffic_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Which traffic file, shared with `vfnet canary`."""
    add_state_folder_argument(parser)
    parser.add_argument(
        "--file", type=Path, metavar="FILE",
        help="the gateway's --traffic-file, where vfnet up did not start it; names are then not looked for at Triton "
        "(default: traffic.toml in the state folder)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Write it, or print it; 0."""
    path = traffic_file(arguments)
    changes = arguments.share or arguments.mirror or arguments.sticky_header
    if arguments.clear and changes:
        raise CommandError("--clear takes the split away: give no shares, copies or header with it")
    if not arguments.clear and not changes:
        splits = read_traffic(path)
        print(render_traffic(splits) if splits else "# no split: all requests go to the model that they ask for")
        return 0
    try:
        check_model_name(arguments.model)
        split = None if arguments.clear else _split(arguments)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if split is not None:
        check_served(arguments, *split.names)
    change_split(path, arguments.model, split)
    now = f"all its own, in {path}" if split is None else f"{split.describe()}, in {path}"
    print(f"vfnet traffic: {arguments.model}: {now}", file=sys.stderr)
    return 0


def traffic_file(arguments: argparse.Namespace) -> Path:
    """The file that the options name."""
    if arguments.file is not None:
        return Path(arguments.file)
    return StateFolder(arguments.state).traffic


def check_served(arguments: argparse.Namespace, *names: str) -> None:
    """Raise CommandError for a name that the state folder's Triton does not serve. Of another's, nothing is known."""
    if arguments.file is not None:
        return
    served = served_ensembles(StateFolder(arguments.state))
    missing = [name for name in names if name not in served]
    if missing:
        raise CommandError(f"Triton does not serve {', '.join(missing)}; it serves {', '.join(served) or 'nothing'}")


def _split(arguments: argparse.Namespace) -> TrafficSplit:
    """Raises ValueError."""
    header = arguments.sticky_header
    if not arguments.share:
        raise ValueError("copies and a sticky header need shares beside them, such as vfnet=90 vfnet.2=10")
    share, mirror = read_percents(arguments.share), read_percents(arguments.mirror)
    return TrafficSplit(share, mirror, None if header is None else header.lower())
