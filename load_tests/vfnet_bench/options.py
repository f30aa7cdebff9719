"""Options that several benchmarks share: which repository is served how, how often and for how long, and what for."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfnet_bench.served_repository import WITHOUT_NETWORK, repository_or_demo, serving, with_fixed_time
from vfnet_client.commands.options import at_least_one, milliseconds, seconds
from vfnet_serve.endpoints import Endpoints


def add_repository_argument(parser: argparse.ArgumentParser) -> None:
    """Read by `repository_or_demo`."""
    parser.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")


def add_rounds_argument(parser: argparse.ArgumentParser, default: int) -> None:
    """How often everything is measured."""
    words = "measure everything so often (default: %(default)s)"
    parser.add_argument("--rounds", type=at_least_one, default=default, metavar="N", help=words)


def add_seconds_argument(parser: argparse.ArgumentParser, default: float) -> None:
    """How long one load lasts."""
    parser.add_argument("--seconds", type=seconds, default=default, help="of each load (default: %(default)g)")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Read by `report.publish`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")


def add_serving_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `vfnet bench overload` and `vfnet bench mixed`; `served` reads some of them."""
    add_repository_argument(parser)
    parser.add_argument(
        "--noop", type=milliseconds, metavar="MS", help="no network: the detector sleeps so long for each image"
    )
    add_rounds_argument(parser, 3)
    add_seconds_argument(parser, 10.0)
    parser.add_argument("--callers", type=at_least_one, default=16, metavar="N", help="in turn (default: %(default)s)")
    add_json_argument(parser)
    parser.add_argument(
        "--serve", type=shlex.split, default=[], metavar="OPTIONS", help="more options of vfnet serve, in one word"
    )


@contextmanager
def served(arguments: argparse.Namespace) -> Iterator[Endpoints]:
    """The repository that `add_serving_arguments` name, served while in the context.

    Raises:
        BenchmarkError: the demonstration repository cannot be built.
        ServerError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        repository, options = repository_or_demo(arguments.repository, scratch), list(arguments.serve)
        if arguments.noop is not None:
            repository = with_fixed_time(repository, scratch / "fixed", arguments.noop)
            options.append(WITHOUT_NETWORK)
        with serving(repository, scratch, options) as running:
            yield running.endpoints


def describe_serving(arguments: argparse.Namespace) -> str:
    """For the result's heading."""
    detector = "its network" if arguments.noop is None else f"{arguments.noop:g} ms an image"
    return f"detector: {detector}; {arguments.callers} callers in turn"
