"""`vfnet bench sharing`: two models of different weight on one machine, both asked for more than they can do."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.options import add_json_argument, add_rounds_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import median_and_range, publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.served_repository import serving
from vfnet_bench.serving.shared_machine import SharingRound, measure_sharing
from vfnet_bench.serving.triton_callers import TritonCallers
from vfnet_client.commands.options import seconds
from vfnet_client.model_names import MODEL
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.machine import this_machine

_LIGHT = "light"
_PHOTO, _STRIP = (640, 480, 60_000), (640, 80, 12_000)
"""Width, height and bytes. After resizing the strip has a fifth of the photo's pixels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench sharing`."""
    parser.add_argument(
        "--checkpoint", default="demo", metavar="FILE", help="of the heavy model, which is asked for photos"
    )
    parser.add_argument(
        "--light-checkpoint", default="demo", metavar="FILE", help="of the light one, which is asked for strips of them"
    )
    parser.add_argument(
        "--factor", type=seconds, default=10.0, help="arrivals over what each can do alone (default: %(default)g)"
    )
    add_rounds_argument(parser, 3)
    add_seconds_argument(parser, 10.0)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table; 0 whatever comes out."""
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as name:
        folder = Path(name)
        for model, checkpoint in ((MODEL, arguments.checkpoint), (_LIGHT, arguments.light_checkpoint)):
            command = [sys.executable, "-m", "vfnet", "build", f"--repository={folder / 'models'}", f"--name={model}"]
            if subprocess.run([*command, f"--checkpoint={checkpoint}"], stdout=sys.stderr, check=False).returncode:
                raise BenchmarkError(f"{checkpoint} could not be built")
        with serving(folder / "models", folder) as running:
            rounds = asyncio.run(_measure(running.endpoints, arguments))
    publish(f"{this_machine()}\n\n{_table(rounds)}", {"rounds": [asdict(each) for each in rounds]}, arguments.json)
    return 0


async def _measure(endpoints: Endpoints, arguments: argparse.Namespace) -> list[SharingRound]:
    heavy = TritonCallers(endpoints, [sample_jpeg(*_PHOTO)])
    light = TritonCallers(endpoints, [sample_jpeg(*_STRIP)], _LIGHT)
    measured, progress = list[SharingRound](), Progress("sharing")
    try:
        for number in range(arguments.rounds):
            measured.append(await measure_sharing(heavy.call, light.call, arguments.factor, arguments.seconds))
            progress.say(f"round {number + 1} of {arguments.rounds}")
    finally:
        await heavy.close()
        await light.close()
    return measured


def _table(rounds: list[SharingRound]) -> str:
    """Medians over the rounds; in parentheses the worst and the best round."""
    rows = [
        (
            words,
            *(
                median_and_range([factor * getattr(getattr(each, model), name) for each in rounds], unit)
                for model in ("heavy", "light")
            ),
        )
        for words, name, factor, unit in (
            ("alone", "alone", 1, "images/s"),
            ("both asked for too much", "together", 1, "images/s"),
            ("**of what it does alone** (a half is its share)", "share", 1, ""),
            ("latency of the accepted, p99", "accepted_p99", 1000, "ms"),
            ("other errors", "errors", 1, ""),
            ("asked for a tenth of that, beside the other asked for too much", "modest", 1, "images/s"),
            ("refused then", "modest_refused", 1, ""),
            ("its latency then, p99", "modest_p99", 1000, "ms"),
        )
    ]
    return table(("", "heavy", "light"), rows)
