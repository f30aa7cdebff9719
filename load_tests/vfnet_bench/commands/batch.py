"""`vfnet bench batch`: a batch against the server's best, its memory, and what its ledger costs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

from vfnet.own_server import OwnServer
from vfnet_bench.batch.ledger_cost import ledger_cost
from vfnet_bench.batch.throughput import Rate, batch_rate, servers_best, write_small_images
from vfnet_client.commands.options import at_least_one, count, seconds

_NO_OP = "noop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench batch`."""
    served = parser.add_mutually_exclusive_group()
    served.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")
    parser.add_argument(
        "--network",
        action="store_true",
        help="with the repository's network; else its no-op shows how fast the road is",
    )
    parser.add_argument("--images", type=at_least_one, default=5000, metavar="N", help="a round (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--seconds", type=seconds, default=5.0, help="a round, of the server's best (default: %(default)g)"
    )
    parser.add_argument("--concurrency", type=at_least_one, default=16, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--memory-images", type=count, default=0, metavar="N", help="then watch memory over N images")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        checkpoint = "demo" if arguments.repository is None else None
        options = () if arguments.network else (f"--model-config-name={_NO_OP}",)
        server = OwnServer(scratch / "server", checkpoint, arguments.repository, options)
        server.prepare()
        with server.running() as url:
            _compare(url, scratch, arguments)
            if arguments.memory_images:
                _watch_memory(url, scratch, arguments)
    return 0


def _compare(url: str, scratch: Path, arguments: argparse.Namespace) -> None:
    source = scratch / "images"
    images = write_small_images(source, arguments.images)
    detector = "the repository's own" if arguments.network else "no-op"
    print(f"{arguments.images} JPEGs of 64 x 48 a round, {arguments.concurrency} in flight; detector: {detector}")
    print("| round | server's best, images/s | batch, images/s | batch / best | CPU ms an image: best | batch |")
    print("|--:|--:|--:|--:|--:|--:|")
    servers_best(url, images, arguments.concurrency, min(1.0, arguments.seconds))  # warm
    pairs: list[tuple[Rate, Rate]] = []
    for number in range(1, arguments.rounds + 1):
        if number % 2:  # what else the machine does grows and shrinks: neither is always the later one
            best = servers_best(url, images, arguments.concurrency, arguments.seconds)
        batch = batch_rate(source, scratch / f"output{number}", url, arguments.concurrency)
        if not number % 2:
            best = servers_best(url, images, arguments.concurrency, arguments.seconds)
        pairs.append((best, batch))
        print(
            f"| {number} | {best.images_per_s:.4g} | {batch.images_per_s:.4g} | "
            f"{batch.images_per_s / best.images_per_s:.3f} | {best.cpu_ms:.2f} | {batch.cpu_ms:.2f} |",
            flush=True,
        )
    ratios = [batch.images_per_s / best.images_per_s for best, batch in pairs]
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print(f"batch / best, median: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    cost = ledger_cost(source, scratch / "output1", scratch, url)
    took = arguments.images / pairs[0][1].images_per_s
    print(
        f"ledger: results waited {1000 * cost.waited:.1f} ms in {took:.1f} s for {cost.shards} shards to be written, "
        f"{100 * cost.waited / took:.2f} % of the time (flushing and renaming one takes {1000 * cost.a_shard:.1f} ms, "
        f"on another thread); the same command again, with nothing left to do: {cost.starting_again:.2f} s",
        flush=True,
    )


def _watch_memory(url: str, scratch: Path, arguments: argparse.Namespace) -> None:
    source, total = scratch / "more-images", arguments.memory_images
    write_small_images(source, total)
    sizes: dict[int, int] = {}

    def look(done: int, resident: int) -> None:
        tenth = 10 * done // total
        if tenth not in sizes and resident:
            sizes[tenth] = resident
            print(f"vfnet bench batch: {done} images, {resident / 2**20:.1f} MiB", file=sys.stderr, flush=True)

    rate = batch_rate(source, scratch / "more-output", url, arguments.concurrency, look)
    listed = ", ".join(f"{size / 2**20:.1f}" for _, size in sorted(sizes.items()))
    print(f"memory of the batch at every tenth of {total} images ({rate.images_per_s:.0f} images/s), MiB: {listed}")
