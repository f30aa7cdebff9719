"""`vfnet receive`: takes what `vfnet deploy --server` sends from other machines."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from vfnet.commands.state_folder import add_running_server_arguments, state_file_of
from vfnet_client.byte_sizes import byte_count
from vfnet_client.commands.options import port_number
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.receiving import Receiver, receiving
from vfnet_deploy.remote_requests import SECRET_VARIABLE, make_secret, read_secret


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet receive`."""
    add_running_server_arguments(parser, remote=False)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port_number, default=5003, metavar="PORT", help="(default: %(default)s)")
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"holds what senders sign with, at least 32 characters; made where it is missing (default: the variable "
        f"{SECRET_VARIABLE})",
    )
    parser.add_argument(
        "--max-bytes", type=byte_count, default=4 << 30, metavar="SIZE", help="of one checkpoint (default: 4 GiB)"
    )
    parser.epilog = (
        "Who has the secret chooses which checkpoint is served; checkpoints are data, and nothing of them is run. They "
        "travel unencrypted: for a network that you trust, or through a tunnel."
    )


def run(arguments: argparse.Namespace) -> int:
    """Take them until SIGTERM or Ctrl-C; 0."""
    if arguments.secret_file is not None and make_secret(arguments.secret_file):
        say(f"wrote a secret into {arguments.secret_file}: copy it to where vfnet deploy --server is given")
    secret = read_secret(arguments.secret_file)
    receiver = Receiver(state_file_of(arguments).absolute(), secret, arguments.max_bytes, say)
    with receiving(receiver, arguments.host, arguments.port) as server:
        signal.signal(signal.SIGTERM, _interrupt)
        say(f"taking checkpoints on {arguments.host} port {server.server_address[1]}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
    return 0


def say(message: str) -> None:
    """A line for the log."""
    print(printable_lines(f"vfnet receive: {message}"), file=sys.stderr, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
