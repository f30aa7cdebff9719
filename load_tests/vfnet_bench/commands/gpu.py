"""`vfnet bench gpu`: what a GPU makes of the torch engine, in one run that ends in time."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vfnet_bench.options import add_json_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import command, write_figures
from vfnet_client.atomic_files import write_whole

SECTIONS = {
    "ceilings": "Ceilings",
    "speed": "Milliseconds an image",
    "floor": "Share of the floor",
    "gains": "Times eager f32, TF32 off",
    "kernels": "Where the time goes, in ms an image, fp16",
    "parity": "Parity in f32",
    "half": "Half precision",
    "company": "In company against alone",
    "served": "Served",
    "start-up": "Start-up and memory",
    "two-instances": "Served by two instances",
    "tuning": "Tuning",
}
"""The most telling first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench gpu`."""
    parser.add_argument("--device", default="cuda:0", help="the card (default: %(default)s)")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="whose accuracy is measured (default: the demonstration's)"
    )
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="of the images that accuracy is measured on")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="them; also what is sent to the server")
    parser.add_argument("--triton", type=Path, metavar="DIR", help="where the Triton server is, as for vfnet serve")
    parser.add_argument(
        "--seconds", type=float, default=480, metavar="S", help="begin nothing after so long (default: %(default)g)"
    )
    add_json_argument(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write them as tables, as in docs/benchmarks")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument(
        "--rehearse", action="store_true", help="everything small and on the CPU: shows that it runs, not how fast"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0 if every section came through, 1 with the reasons on stderr otherwise."""
    import torch

    progress = Progress("gpu")
    if not arguments.rehearse and not torch.cuda.is_available():
        progress.say("torch sees no GPU here; --rehearse tries everything small on the CPU")
        return 1
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-gpu-") as scratch:
        conditions = _conditions(arguments, Path(scratch))
        # Compiled once for all sections, in this process and in the server; but start-up has its own.
        os.environ["TRITON_CACHE_DIR"] = str(conditions.scratch / "kernels")
        _, failed = measure_all(conditions, arguments.only or list(SECTIONS), lambda done: _write(arguments, done))
    print(f"`{shlex.join(command())}`")
    for section, reason in failed.items():
        progress.say(f"{section}: {reason}")
    return 1 if failed else 0


def measure_all(
    conditions: Any, chosen: Sequence[str], save: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The chosen sections; each is printed when it is done, and `save` called, so that a run cut short is not lost.

    Returns:
        What was measured, and why what was not was not, by section.
    """
    from vfnet_bench.gpu import accuracy, card, hot_spots, speed, start_up, tuning
    from vfnet_bench.gpu.report import section_to_markdown

    found: dict[str, Any] = {}
    failed: dict[str, str] = {}

    def keep(section: str, values: Any) -> None:
        found[section] = values
        save(found)

    def floor() -> dict[str, float]:
        return speed.fractions_of_floor(found[SECTIONS["speed"]], found[SECTIONS["ceilings"]])

    def serve(name: str) -> dict[str, object]:
        from vfnet_bench.gpu import served

        measure = {"served": served.served, "two-instances": served.two_instances}[name]
        return measure(conditions, lambda values: keep(SECTIONS[name], values))

    work: dict[str, Callable[[], Any]] = {
        "ceilings": lambda: card.ceilings(conditions),
        "speed": lambda: speed.speed(conditions),
        "floor": floor,
        "gains": lambda: speed.gains(found[SECTIONS["speed"]]),
        "kernels": lambda: hot_spots.hot_spots(conditions),
        "parity": lambda: accuracy.parity(conditions),
        "half": lambda: accuracy.half_precision(conditions),
        "company": lambda: accuracy.company(conditions),
        "served": lambda: serve("served"),
        "start-up": lambda: start_up.start_up(conditions),
        "two-instances": lambda: serve("two-instances"),
        "tuning": lambda: tuning.tuning(conditions),
    }
    keep("Card", card.describe_card(conditions))
    print(section_to_markdown("Card", found["Card"]), flush=True)
    for name, section in SECTIONS.items():
        if name not in chosen:
            continue
        started = time.monotonic()
        if conditions.seconds_left() < 15:
            failed[section] = "not begun: the time was up"
            continue
        try:
            keep(section, work[name]())
        except Exception as error:  # the others are worth having
            failed[section] = f"failed: {type(error).__name__}: {error}"
            # Part of it may have been kept.
            keep(section, found.get(section, {}) | {"failed": failed[section].removeprefix("failed: ")})
        print(section_to_markdown(section, found[section]), flush=True)
        Progress("gpu").say(f"{section}: {time.monotonic() - started:.0f} s")
    return found, failed


def _conditions(arguments: argparse.Namespace, scratch: Path) -> Any:
    import torch

    from vfnet_bench.gpu.conditions import Conditions
    from vfnet_model.checkpoints.demo import DEMO_CHECKPOINT

    small: dict[str, Any] = {}
    if arguments.rehearse:
        small = {"canvas": (128, 160), "batch_sizes": (1, 2), "repetitions": 1, "rehearsal": True}
    return Conditions(
        device=torch.device("cpu") if arguments.rehearse else with_index(torch.device(arguments.device)),
        scratch=scratch,
        checkpoint=arguments.checkpoint or DEMO_CHECKPOINT,
        annotations=arguments.annotations,
        images=arguments.images,
        triton=arguments.triton,
        deadline=time.monotonic() + arguments.seconds,
        **small,
    )


def with_index(device: Any) -> Any:
    """`cuda`, a torch device without a number, is the card in use."""
    import torch

    return device if device.index is not None else torch.device(device.type, torch.cuda.current_device())


def _write(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    from vfnet_bench.gpu.report import to_markdown

    if arguments.json is not None:
        write_figures(arguments.json, found)
    if arguments.markdown is not None:
        write_whole(arguments.markdown, to_markdown(found, shlex.join(command())).encode())
