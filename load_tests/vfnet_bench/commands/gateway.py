"""`vfnet bench gateway`: what the gateway costs beside direct gRPC, the network replaced by a no-op or not."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from vfnet_bench.gateway.overhead_repository import without_decoding
from vfnet_bench.gateway.ways import (
    DIRECT,
    GATEWAY_GRPC,
    GATEWAY_REST,
    SCORE,
    WayLoads,
    compare_ways,
    memory_over,
)
from vfnet_bench.measurement import quartiles
from vfnet_bench.options import add_json_argument, add_repository_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.served_repository import CALLERS_WAIT, WITHOUT_NETWORK, ServedRepository, repository_or_demo, serving
from vfnet_client.commands.options import at_least_one

_JPEG_BYTES = 200_000
_MEMORY_CALLERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench gateway`."""
    add_repository_argument(parser)
    parser.add_argument("--image", type=Path, metavar="FILE", help="instead of a made-up JPEG of 200 kB")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the made-up JPEG (default: %(default)s)")
    parser.add_argument(
        "--decode",
        action="store_true",
        help="let vfnet_preprocess decode and resize; else only the overhead of serving is timed",
    )
    parser.add_argument(
        "--kserve", action="store_true", help="compare the gateway's KServe v2 with direct gRPC, instead of /score"
    )
    parser.add_argument("--network", action="store_true", help="with the real network and real decoding")
    parser.add_argument(
        "--rounds", type=at_least_one, default=5, metavar="N", help="of --kserve (default: %(default)s)"
    )
    parser.add_argument("--callers", type=at_least_one, nargs="+", default=[1, 8, 64], metavar="N", help="1 8 64")
    add_seconds_argument(parser, 10.0)
    parser.add_argument(
        "--memory-requests", type=int, default=0, metavar="N", help="then watch the gateway's memory over N requests"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table."""
    progress = Progress("gateway")
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        repository = repository_or_demo(arguments.repository, scratch)
        width, height = (int(side) for side in arguments.size.split("x"))
        image = arguments.image.read_bytes() if arguments.image else sample_jpeg(width, height, _JPEG_BYTES)
        if not (arguments.decode or arguments.network):
            repository = without_decoding(repository, scratch / "overhead")
        options = [CALLERS_WAIT] + ([] if arguments.network else [WITHOUT_NETWORK])
        with serving(repository, scratch, options, gateway=True) as served:
            by_callers = asyncio.run(_loads(served, image, arguments, progress))
            memory = []
            if arguments.memory_requests and not arguments.kserve:
                memory = asyncio.run(_memory(served, image, arguments.memory_requests, progress))
    decoded = "decoded and resized" if arguments.decode or arguments.network else "not decoded"
    detector = "the network" if arguments.network else "no-op"
    setting = f"image: {len(image)} bytes, {decoded}; detector: {detector}; requests of one image each"
    lines = [setting, "", _table(by_callers)]
    if memory:
        sizes = ", ".join(f"{size / 2**20:.1f}" for size in memory)
        lines += ["", f"memory over {arguments.memory_requests} requests, MiB: {sizes}"]
    loads = [_figures(callers, way) for callers, ways in by_callers.items() for way in ways]
    publish("\n".join(lines), {"setting": setting, "loads": loads, "memory_bytes": memory}, arguments.json)
    return 0


async def _loads(
    served: ServedRepository, image: bytes, arguments: argparse.Namespace, progress: Progress
) -> dict[int, list[WayLoads]]:
    """The ways, by callers; the first is direct gRPC."""
    names = (DIRECT, GATEWAY_GRPC, GATEWAY_REST) if arguments.kserve else (DIRECT, SCORE)
    rounds = arguments.rounds if arguments.kserve else 1
    return {
        callers: await compare_ways(served, names, image, callers, arguments.seconds, rounds, progress.say)
        for callers in arguments.callers
    }


async def _memory(served: ServedRepository, image: bytes, requests: int, progress: Progress) -> list[int]:
    def say(done: int, size: int) -> None:
        progress.say(f"{done} requests, {size / 2**20:.1f} MiB")

    return await memory_over(served, image, requests, _MEMORY_CALLERS, say)


def _table(by_callers: dict[int, list[WayLoads]]) -> str:
    """Medians of the rounds."""
    rows = []
    for callers, ways in by_callers.items():
        for way in ways:
            rate, share = (quartiles(each.values).median for each in (way.rates(), way.share_of(ways[0])))
            p50, p99 = way.milliseconds(50), way.milliseconds(99)
            figures = (f"{rate:.1f}", f"{p50:.1f}", f"{p99:.1f}", f"{p99 / p50:.2f}", f"{share:.3f}")
            rows.append((str(callers), way.name, *figures))
    head = ("callers", "way", "images/s", "p50 ms", "p99 ms", "p99 / p50", "of direct gRPC")
    return table(head, rows, words=(1,))


def _figures(callers: int, way: WayLoads) -> dict[str, Any]:
    times = {f"p{percent}_ms": way.milliseconds(percent) for percent in (50, 99)}
    return {"callers": callers, **way.rates().to_json(), **times}
