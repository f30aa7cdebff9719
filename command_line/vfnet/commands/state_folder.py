"""The options by which commands find what `vfnet up` or `vfnet serve` has left running."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet_deploy.remote_requests import SECRET_VARIABLE
from vfnet_deploy.sending import address_of
from vfnet_serve.background import StateFolder


def add_state_folder_argument(parser: argparse.ArgumentParser) -> None:
    """`--state`, a folder."""
    parser.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="folder for all that is written (default: var)"
    )


def add_running_server_arguments(parser: argparse.ArgumentParser, *, remote: bool = True) -> None:
    """`--state`, or `--state-file` of a `vfnet serve` that was started by hand; `state_file_of` reads them.

    Args:
        remote: or `--server`, on another machine; see `vfnet.remote`.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="what vfnet up was given (default: var)"
    )
    where.add_argument("--state-file", type=Path, metavar="FILE", help="what vfnet serve was given")
    if remote:
        where.add_argument("--server", type=_address, metavar="HOST:PORT", help="a vfnet receive on another machine")
        parser.add_argument(
            "--secret-file", type=Path, metavar="FILE",
            help=f"for --server: what it was given (default: the variable {SECRET_VARIABLE})",
        )  # fmt: skip


def state_file_of(arguments: argparse.Namespace) -> Path:
    """The state file of the server that is meant."""
    given: Path | None = arguments.state_file
    return StateFolder(arguments.state).server.state_file if given is None else given


def _address(text: str) -> tuple[str, int]:
    try:
        return address_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
