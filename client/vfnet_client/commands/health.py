"""`vfnet health`: prove with a real inference that the server works.

The server's own readiness is not enough: a model whose process died goes on being called ready.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import TYPE_CHECKING

from vfnet_client.commands.options import add_server_options, chosen_server, connected
from vfnet_client.transport import DNS, server_urls

if TYPE_CHECKING:
    from PIL import Image

STRIP = (1333, 32)
"""Width and height of the picture. The network resizes to fit 1333x800: a strip this wide stays small, and cheap."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    add_server_options(parser, timeout=10.0, retries=0)


def run(arguments: argparse.Namespace) -> int:
    """One inference of a generated picture at each server. 0 and a line for each, or an error that says why not."""
    for server in server_urls(chosen_server(arguments)):
        with connected(arguments, server=server) as client:
            started = perf_counter()
            client.check() if server.startswith(f"{DNS}:") else client.detect(generated_picture())
            print(f"{server} works: one inference in {perf_counter() - started:.3f} s")
    return 0


def generated_picture(size: tuple[int, int] = STRIP) -> Image.Image:
    """A picture, `size` its width and height, that any server detects in: quickly, if it is the strip."""
    from PIL import Image

    return Image.linear_gradient("L").resize(size).convert("RGB")
