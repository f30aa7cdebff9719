"""`vfnet bench-gateway`: what /score costs beside direct gRPC, the network replaced by a no-op."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from vfnet_client.commands.options import at_least_one, seconds
from vfnet_gateway.benchmark.comparison import Pair, compare, memory_over
from vfnet_gateway.benchmark.load import Load
from vfnet_gateway.benchmark.processes import Road, build_demo, road
from vfnet_gateway.benchmark.road_repository import without_decoding
from vfnet_gateway.benchmark.sample_photo import sample_jpeg

_JPEG_BYTES = 200_000
_MEMORY_CALLERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench-gateway`."""
    parser.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")
    parser.add_argument("--image", type=Path, metavar="FILE", help="instead of a made-up JPEG of 200 kB")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the made-up JPEG (default: %(default)s)")
    parser.add_argument(
        "--decode", action="store_true", help="let vfnet_preprocess decode and resize; else only the road is timed"
    )
    parser.add_argument("--callers", type=at_least_one, nargs="+", default=[1, 8, 64], metavar="N", help="1 8 64")
    parser.add_argument("--seconds", type=seconds, default=10.0, help="for each measurement (default: %(default)g)")
    parser.add_argument(
        "--memory-requests", type=int, default=0, metavar="N", help="then watch the gateway's memory over N requests"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        repository = arguments.repository
        if repository is None:
            repository = scratch / "repository"
            build_demo(repository)
        width, height = (int(side) for side in arguments.size.split("x"))
        image = arguments.image.read_bytes() if arguments.image else sample_jpeg(width, height, _JPEG_BYTES)
        if not arguments.decode:
            repository = without_decoding(repository, scratch / "road")
        decoded = "decoded and resized" if arguments.decode else "not decoded"
        print(f"image: {len(image)} bytes, {decoded}; detector: no-op; requests of one image each")
        with road(repository.absolute(), scratch) as where:
            asyncio.run(_measure(where, image, arguments))
    return 0


async def _measure(where: Road, image: bytes, arguments: argparse.Namespace) -> None:
    print("| callers | gRPC images/s | p50 ms | p99 ms | /score images/s | p50 ms | p99 ms | p99/p50 |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for callers in arguments.callers:
        print(_row(callers, await compare(where, image, callers, arguments.seconds)), flush=True)
    if arguments.memory_requests:
        sizes = await memory_over(where, image, arguments.memory_requests, _MEMORY_CALLERS, _say_memory)
        print(f"memory over {arguments.memory_requests} requests, MiB: {', '.join(f'{s / 2**20:.1f}' for s in sizes)}")


def _row(callers: int, pair: Pair) -> str:
    ratio = pair.score.percentile(99) / pair.score.percentile(50)
    return f"| {callers} | {_cells(pair.grpc)} | {_cells(pair.score)} | {ratio:.2f} |"


def _cells(load: Load) -> str:
    return f"{load.rate:.0f} | {1000 * load.percentile(50):.1f} | {1000 * load.percentile(99):.1f}"


def _say_memory(done: int, size: int) -> None:
    print(f"vfnet bench-gateway: {done} requests, {size / 2**20:.1f} MiB", file=sys.stderr, flush=True)
