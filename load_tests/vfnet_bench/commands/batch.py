"""`vfnet bench batch`: a batch against the server's best, its memory, and what its ledger costs."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from vfnet_bench.batch.ledger_cost import LedgerCost, ledger_cost
from vfnet_bench.batch.throughput import Rate, batch_rate, servers_best, write_small_images
from vfnet_bench.measurement import Measurement, ratios
from vfnet_bench.options import add_json_argument, add_repository_argument, add_rounds_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import measurement_table, publish
from vfnet_bench.rounds import turns
from vfnet_bench.served_repository import WITHOUT_NETWORK, repository_or_demo, serving
from vfnet_client.commands.options import at_least_one, count

_BEST, _BATCH = "server's best", "batch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench batch`."""
    add_repository_argument(parser)
    parser.add_argument(
        "--network",
        action="store_true",
        help="with the repository's network; else its no-op shows the overhead of serving",
    )
    parser.add_argument("--images", type=at_least_one, default=5000, metavar="N", help="a round (default: %(default)s)")
    add_rounds_argument(parser, 5)
    add_seconds_argument(parser, 5.0)
    parser.add_argument("--concurrency", type=at_least_one, default=16, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--memory-images", type=count, default=0, metavar="N", help="then watch memory over N images")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    progress, total = Progress("batch"), arguments.memory_images
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        repository = repository_or_demo(arguments.repository, scratch)
        with serving(repository, scratch, [] if arguments.network else [WITHOUT_NETWORK]) as served:
            url = served.endpoints.grpc_url
            rates = _compare(url, scratch, arguments, progress)
            cost = ledger_cost(scratch / "images", scratch / "output0", scratch, url)
            memory, memory_rate = dict[int, int](), None
            if total:
                memory, memory_rate = _watch_memory(url, scratch, arguments, progress)
    measurements = _measurements(rates)
    detector = "the repository's own" if arguments.network else "no-op"
    setting = f"{arguments.images} JPEGs of 64 x 48 a round, {arguments.concurrency} in flight; detector: {detector}"
    ledger = _ledger_in_words(cost, arguments.images / rates[_BATCH][0].images_per_s)
    lines = [setting, "", measurement_table(measurements), "", ledger]
    if memory_rate is not None:
        listed = ", ".join(f"{size / 2**20:.1f}" for size in memory.values())
        rate = f"{memory_rate.images_per_s:.0f} images/s"
        lines.append(f"memory of the batch at every tenth of {total} images ({rate}), MiB: {listed}")
    figures = {
        "setting": setting,
        "measurements": [each.to_json() for each in measurements],
        "ledger_s": asdict(cost),
        "memory_bytes": memory,
    }
    publish("\n".join(lines), figures, arguments.json)
    return 0


def _compare(url: str, scratch: Path, arguments: argparse.Namespace, progress: Progress) -> dict[str, list[Rate]]:
    """Both contestants' rates, round by round; what batches wrote is in `output0` and so on."""
    source = scratch / "images"
    images = write_small_images(source, arguments.images)
    servers_best(url, images, arguments.concurrency, min(1.0, arguments.seconds))  # warm
    rates: dict[str, list[Rate]] = {_BEST: [], _BATCH: []}
    for number, name in turns(list(rates), arguments.rounds):
        if name == _BEST:
            rate = servers_best(url, images, arguments.concurrency, arguments.seconds)
        else:
            rate = batch_rate(source, scratch / f"output{number}", url, arguments.concurrency)
        rates[name].append(rate)
        progress.say(f"round {number + 1} of {arguments.rounds}, {name}: {rate.images_per_s:.4g} images/s")
    return rates


def _measurements(rates: dict[str, list[Rate]]) -> list[Measurement]:
    """Of both, and how they compare within a round."""
    best, batch = (
        Measurement(name, "images/s", tuple(rate.images_per_s for rate in rates[name])) for name in (_BEST, _BATCH)
    )
    times = [
        Measurement(f"CPU time an image, {name}", "ms", tuple(rate.cpu_ms for rate in rates[name])) for name in rates
    ]
    return [best, batch, ratios("batch / best", batch, best, None), *times]


def _ledger_in_words(cost: LedgerCost, took: float) -> str:
    """`took`: seconds of the batch whose ledger it is."""
    return (
        f"ledger: results waited {1000 * cost.waited:.1f} ms in {took:.1f} s for {cost.shards} shards to be written, "
        f"{100 * cost.waited / took:.2f} % of the time (flushing and renaming one takes {1000 * cost.a_shard:.1f} ms, "
        f"on another thread); the same command again, with nothing left to do: {cost.starting_again:.2f} s"
    )


def _watch_memory(
    url: str, scratch: Path, arguments: argparse.Namespace, progress: Progress
) -> tuple[dict[int, int], Rate]:
    """Bytes of the batch at each tenth of its images."""
    source, total = scratch / "more-images", arguments.memory_images
    write_small_images(source, total)
    sizes: dict[int, int] = {}

    def look(done: int, resident: int) -> None:
        tenth = 10 * done // total
        if tenth not in sizes and resident:
            sizes[tenth] = resident
            progress.say(f"{done} images, {resident / 2**20:.1f} MiB")

    rate = batch_rate(source, scratch / "more-output", url, arguments.concurrency, look)
    return dict(sorted(sizes.items())), rate
