"""`vfnet bench gateway`: what the gateway costs beside direct gRPC, the network replaced by a no-op or not."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from vfnet_bench.background_servers import NO_OP, Road, build_demo, road
from vfnet_bench.closed_loop import Load
from vfnet_bench.gateway.comparison import Pair, compare, memory_over
from vfnet_bench.gateway.overhead_repository import without_decoding
from vfnet_bench.gateway.ways import compare_ways
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_client.commands.options import at_least_one, seconds

_JPEG_BYTES = 200_000
_MEMORY_CALLERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench gateway`."""
    parser.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")
    parser.add_argument("--image", type=Path, metavar="FILE", help="instead of a made-up JPEG of 200 kB")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the made-up JPEG (default: %(default)s)")
    parser.add_argument(
        "--decode", action="store_true", help="let vfnet_preprocess decode and resize; else only the road is timed"
    )
    parser.add_argument(
        "--kserve", action="store_true", help="compare the gateway's KServe v2 with direct gRPC, instead of /score"
    )
    parser.add_argument("--network", action="store_true", help="with the real network and real decoding")
    parser.add_argument(
        "--rounds", type=at_least_one, default=5, metavar="N", help="of --kserve (default: %(default)s)"
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
        if not (arguments.decode or arguments.network):
            repository = without_decoding(repository, scratch / "road")
        decoded = "decoded and resized" if arguments.decode or arguments.network else "not decoded"
        detector = "the network" if arguments.network else "no-op"
        print(f"image: {len(image)} bytes, {decoded}; detector: {detector}; requests of one image each")
        with road(repository.absolute(), scratch, None if arguments.network else NO_OP) as where:
            asyncio.run((_measure_ways if arguments.kserve else _measure)(where, image, arguments))
    return 0


async def _measure(where: Road, image: bytes, arguments: argparse.Namespace) -> None:
    print("| callers | gRPC images/s | p50 ms | p99 ms | /score images/s | p50 ms | p99 ms | p99/p50 |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for callers in arguments.callers:
        print(_row(callers, await compare(where, image, callers, arguments.seconds)), flush=True)
    if arguments.memory_requests:
        sizes = await memory_over(where, image, arguments.memory_requests, _MEMORY_CALLERS, _say_memory)
        print(f"memory over {arguments.memory_requests} requests, MiB: {', '.join(f'{s / 2**20:.1f}' for s in sizes)}")


async def _measure_ways(where: Road, image: bytes, arguments: argparse.Namespace) -> None:
    print("| callers | way | images/s | p50 ms | p99 ms | of direct gRPC |")
    print("|--:|:--|--:|--:|--:|--:|")
    for callers in arguments.callers:
        ways = await compare_ways(where, image, callers, arguments.seconds, arguments.rounds, _say)
        for way in ways:
            times = f"{way.milliseconds(50):.1f} | {way.milliseconds(99):.1f}"
            share = way.share_of(ways[0])
            print(f"| {callers} | {way.name} | {way.rate():.1f} | {times} | {share:.3f} |", flush=True)


def _row(callers: int, pair: Pair) -> str:
    ratio = pair.score.percentile(99) / pair.score.percentile(50)
    return f"| {callers} | {_cells(pair.grpc)} | {_cells(pair.score)} | {ratio:.2f} |"


def _cells(load: Load) -> str:
    return f"{load.rate:.0f} | {1000 * load.percentile(50):.1f} | {1000 * load.percentile(99):.1f}"


def _say_memory(done: int, size: int) -> None:
    _say(f"{done} requests, {size / 2**20:.1f} MiB")


def _say(line: str) -> None:
    print(f"vfnet bench gateway: {line}", file=sys.stderr, flush=True)
