"""`vfnet bench mixed`: photos of many shapes at once against each shape alone, in one run."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from statistics import median

from vfnet_bench.serving.mixed_sizes import MixedRound, measure_mixed_round, sample_photos
from vfnet_bench.serving.options import add_shared_arguments, describe_detector, served
from vfnet_client.atomic_files import write_whole
from vfnet_load.machine import describe_machine
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.machine import this_machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench mixed`."""
    add_shared_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table; 0 whatever comes out."""
    machine = this_machine()
    with served(arguments) as endpoints:
        rounds = asyncio.run(_measure(endpoints, arguments))
    print(f"detector: {describe_detector(arguments)}; {machine}; {arguments.callers} callers in turn")
    print(_table(rounds))
    if arguments.json is not None:
        rows = [
            {"alone": {f"{w}x{h}": rate for (w, h), rate in each.alone.items()}, "mixed": each.mixed,
             "batch": each.batch, "ratio": each.ratio}
            for each in rounds
        ]  # fmt: skip
        facts = {"machine": describe_machine(machine.cores), "rounds": rows}
        write_whole(arguments.json, json.dumps(facts, indent=2).encode() + b"\n")
    return 0


async def _measure(endpoints: Endpoints, arguments: argparse.Namespace) -> list[MixedRound]:
    photos, rounds = sample_photos(), list[MixedRound]()
    for number in range(arguments.rounds):
        rounds.append(await measure_mixed_round(endpoints, photos, arguments.callers, arguments.seconds))
        print(f"vfnet bench mixed: round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    return rounds


def _table(rounds: list[MixedRound]) -> str:
    rows = [(f"{w} x {h} alone, images/s", [each.alone[w, h] for each in rounds]) for w, h in rounds[0].alone]
    rows += [
        ("all mixed, images/s", [each.mixed for each in rounds]),
        ("**mixed / what the sizes alone make of it** (≥ 0.97)", [each.ratio for each in rounds]),
        ("images a batch, mixed (> 2)", [each.batch for each in rounds]),
    ]
    lines = ["| | |", "|---|--:|"]
    for name, values in rows:
        lines.append(f"| {name} | {median(values):.3g} ({min(values):.3g} to {max(values):.3g}) |")
    return "\n".join(lines)
