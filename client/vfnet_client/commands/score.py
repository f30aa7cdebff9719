"""`vfnet score`: a documented scoring request in, the documented answer out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vfnet_client.bounded_gzip import MAGIC, GzipError, gunzip
from vfnet_client.commands.options import add_server_options, at_least_one, connected
from vfnet_client.exceptions import CommandError
from vfnet_images.kinds import HEAD_BYTES, kind_of

_MOST_UNPACKED = 1 << 30
"""Bytes of a request."""
EXIT_CODES = {200: 0, 422: 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument(
        "request", metavar="REQUEST.json", help="the body of a request to /score; - reads it from stdin"
    )
    parser.add_argument(
        "--concurrency", metavar="N", type=at_least_one, default=16, help="images in flight (default: %(default)s)"
    )
    add_server_options(parser)
    parser.epilog = "Exit code: 0 for a list, 1 where images could not be read, 2 where the request is at fault."


def run(arguments: argparse.Namespace) -> int:
    """Print the answer, an error's body too. Images by URL are fetched from here, but by an endpoint itself."""
    body = sys.stdin.buffer.read() if arguments.request == "-" else Path(arguments.request).read_bytes()
    kind = kind_of(body[:HEAD_BYTES])
    if kind is not None:
        raise CommandError(
            f"{arguments.request} is a picture ({kind.name}), and this command answers requests: "
            f"vfnet detect {arguments.request}"
        )
    if body.startswith(MAGIC):
        try:
            body = gunzip(body, _MOST_UNPACKED)
        except GzipError as error:
            raise CommandError(f"{arguments.request} should be gzip, and it is {error}") from error
    with connected(arguments, arguments.concurrency) as client:
        reply = client.score(body)
    sys.stdout.buffer.write((_for_a_terminal(reply.body) if sys.stdout.isatty() else reply.body) + b"\n")
    return EXIT_CODES.get(reply.status, 2)


def _for_a_terminal(body: bytes) -> bytes:
    """JSON in ASCII: what an endpoint answers may hold commands of a terminal."""
    text = body.decode("utf-8", "replace")
    # What is printable ASCII stands for itself, quotes and backslashes too; the rest as JSON escapes it.
    return "".join(
        character if character == "\n" or " " <= character <= "~" else json.dumps(character)[1:-1] for character in text
    ).encode()
