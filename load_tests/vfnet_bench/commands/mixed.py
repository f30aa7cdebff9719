"""`vfnet bench mixed`: photos of many shapes at once against each shape alone, in one run."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from vfnet_bench.options import add_serving_arguments, describe_serving, served
from vfnet_bench.progress import Progress
from vfnet_bench.report import median_and_range, publish, table
from vfnet_bench.serving.mixed_sizes import MixedRound, measure_mixed_round, sample_photos
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.machine import this_machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench mixed`."""
    add_serving_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table; 0 whatever comes out."""
    with served(arguments) as endpoints:
        rounds = asyncio.run(_measure(endpoints, arguments))
    rows = [
        {"alone": {f"{w}x{h}": rate for (w, h), rate in each.alone.items()}, "mixed": each.mixed,
         "batch": each.batch, "ratio": each.ratio}
        for each in rounds
    ]  # fmt: skip
    text = f"{describe_serving(arguments)}; {this_machine()}\n\n{_table(rounds)}"
    publish(text, {"rounds": rows}, arguments.json)
    return 0


async def _measure(endpoints: Endpoints, arguments: argparse.Namespace) -> list[MixedRound]:
    photos, rounds, progress = sample_photos(), list[MixedRound](), Progress("mixed")
    for number in range(arguments.rounds):
        rounds.append(await measure_mixed_round(endpoints, photos, arguments.callers, arguments.seconds))
        progress.say(f"round {number + 1} of {arguments.rounds}")
    return rounds


def _table(rounds: Sequence[MixedRound]) -> str:
    rows = [(f"{w} x {h} alone, images/s", [each.alone[w, h] for each in rounds]) for w, h in rounds[0].alone]
    rows += [
        ("all mixed, images/s", [each.mixed for each in rounds]),
        ("**mixed / what the sizes alone make of it** (≥ 0.97)", [each.ratio for each in rounds]),
        ("images a batch, mixed (> 2)", [each.batch for each in rounds]),
    ]
    return table(("", ""), [(name, median_and_range(values)) for name, values in rows])
