"""Options that several subcommands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from vfnet_client.transport import DEFAULT_SERVER, parse_server_url


def add_server_options(parser: argparse.ArgumentParser, timeout: float = 60.0) -> None:
    """`--server` and `--timeout`."""
    parser.add_argument(
        "--server",
        metavar="URL",
        type=server_url,
        default=DEFAULT_SERVER,
        help="grpc://host:port, grpcs://, http:// or https:// (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=timeout,
        help="how long to wait for the answer to one image (default: %(default)g)",
    )


def server_url(text: str) -> str:
    """An argument that names a server."""
    try:
        parse_server_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def seconds(text: str) -> float:
    """An argument that is a time, above 0."""
    return _number(text, "a time above 0 in seconds", lambda value: value > 0)


def fraction(text: str) -> float:
    """An argument from 0 to 1."""
    return _number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def at_least_one(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _number(text: str, meaning: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {meaning}")
    return value
