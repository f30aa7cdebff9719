"""`vfnet bench overload`: capacity, ten times as much, the time after it, and batch beside interactive, in one run."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vfnet_bench.options import add_serving_arguments, describe_serving, served
from vfnet_bench.progress import Progress
from vfnet_bench.report import median_and_range, publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.serving.overload_rounds import Plan, Round, measure_round
from vfnet_bench.serving.triton_callers import TritonCallers
from vfnet_client.commands.options import seconds
from vfnet_serve.machine import this_machine

_JPEG_BYTES = 60_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench overload`."""
    add_serving_arguments(parser)
    parser.add_argument("--image", type=Path, metavar="FILE", help="instead of a made-up JPEG of 640 x 480")
    parser.add_argument("--factor", type=seconds, default=10.0, help="arrivals over capacity (default: %(default)g)")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table; 0 whatever comes out."""
    plan = Plan(arguments.seconds, arguments.callers, arguments.factor)
    image = arguments.image.read_bytes() if arguments.image else sample_jpeg(640, 480, _JPEG_BYTES)
    with served(arguments) as endpoints:
        rounds = asyncio.run(_measure(TritonCallers(endpoints, [image]), plan, arguments.rounds))
    text = f"{describe_serving(arguments)}; {this_machine()}\n\n{_table(rounds)}"
    publish(text, {"rounds": [asdict(each) for each in rounds]}, arguments.json)
    return 0


async def _measure(callers: TritonCallers, plan: Plan, rounds: int) -> list[Round]:
    measured, progress = list[Round](), Progress("overload")
    try:
        for number in range(rounds):
            measured.append(await measure_round(callers, plan))
            progress.say(f"round {number + 1} of {rounds}")
    finally:
        await callers.close()
    return measured


def _table(rounds: Sequence[Round]) -> str:
    """Medians over the rounds; in parentheses the worst and the best round."""
    rows: list[tuple[str, Sequence[float], str]] = [
        ("capacity, callers in turn", [each.capacity for each in rounds], "images/s"),
        ("arrivals", [each.arrivals for each in rounds], "/s"),
        ("goodput", [each.goodput for each in rounds], "images/s"),
        ("**goodput / capacity** (≥ 0.95)", [each.goodput / each.capacity for each in rounds], ""),
        ("latency of the accepted, median", [1000 * each.accepted_p50 for each in rounds], "ms"),
        ("latency of the accepted, p99", [1000 * each.accepted_p99 for each in rounds], "ms"),
        ("refused after, p99", [1000 * each.refused_p99 for each in rounds], "ms"),
        ("other errors", [each.errors for each in rounds], ""),
        ("**recovery after the last arrival** (≤ 1)", [each.recovery for each in rounds], "s"),
        ("cores that the callers took", [each.callers_cores for each in rounds], ""),
        ("latency, idle server", [1000 * each.idle_latency for each in rounds], "ms"),
        ("latency, callers in turn, median", [1000 * each.capacity_latency for each in rounds], "ms"),
        ("latency, interactive beside batch, median", [1000 * each.interactive_p50 for each in rounds], "ms"),
        ("latency, interactive beside batch, p99", [1000 * each.interactive_p99 for each in rounds], "ms"),
        ("interactive refused beside batch", [each.interactive_refused for each in rounds], ""),
        ("batch beside interactive", [each.batch for each in rounds], "images/s"),
    ]
    return table(("", ""), [(name, median_and_range(values, unit)) for name, values, unit in rows])
