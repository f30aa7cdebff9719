"""What `vfnet bench overload` and `vfnet bench mixed` share: which repository is served how, and for how long."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfnet_bench.served_repository import serving, with_fixed_time
from vfnet_build.building import build
from vfnet_client.commands.options import at_least_one, milliseconds, seconds
from vfnet_model.manifest import BuildOptions
from vfnet_serve.endpoints import Endpoints


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Read by `served`, but for rounds, seconds and callers."""
    parser.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")
    parser.add_argument(
        "--noop", type=milliseconds, metavar="MS", help="no network: the detector sleeps so long for each image"
    )
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=seconds, default=10.0, help="of each load (default: %(default)g)")
    parser.add_argument("--callers", type=at_least_one, default=16, metavar="N", help="in turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round")
    parser.add_argument(
        "--serve", type=shlex.split, default=[], metavar="OPTIONS", help="more options of vfnet serve, in one word"
    )


@contextmanager
def served(arguments: argparse.Namespace) -> Iterator[Endpoints]:
    """The repository that the arguments name, served while in the context.

    Raises:
        ServerError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        repository, options = arguments.repository, list(arguments.serve)
        if repository is None:
            repository = scratch / "built"
            build("demo", repository, BuildOptions())
        if arguments.noop is not None:
            repository = with_fixed_time(repository, scratch / "fixed", arguments.noop)
            options.append("--model-config-name=noop")
        with serving(repository, scratch, options) as served:
            yield served.endpoints


def describe_detector(arguments: argparse.Namespace) -> str:
    """For the result's heading."""
    return "its network" if arguments.noop is None else f"{arguments.noop:g} ms an image"
