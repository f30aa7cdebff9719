"""`vfnet bench training`: seconds an image, forward and backward, beside MMDetection on the same CPU."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vfnet_bench.measurement import Measurement, Target, ratios
from vfnet_bench.mmdet_process import mmdet_process
from vfnet_bench.progress import Progress
from vfnet_bench.report import markdown_table
from vfnet_bench.rounds import Contestant, run_rounds
from vfnet_bench.training.training_passes import TrainingPass, make_batch
from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import at_least_one
from vfnet_load.machine import describe_machine
from vfnet_model.checkpoints.loading import Checkpoint, build_network
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_train.argument_types import scale
from vfnet_train.settings import PRECISIONS

MMDET = "MMDetection, f32"
SPEED_TARGET = Target(5.0, at_most=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench training`."""
    parser.add_argument("--checkpoint", default="demo", metavar="FILE|URL|coco|demo", help="(default: demo)")
    parser.add_argument(
        "--size", type=scale, default=(512, 384), metavar="WxH", help="of the images, in pixels (default: 512x384)"
    )
    parser.add_argument("--batch-size", type=at_least_one, default=2, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="for all (default: torch's choice)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda; MMDetection runs on the CPU")
    parser.add_argument(
        "--mmdet", type=Path, metavar="PYTHON", help="interpreter of an environment with MMDetection 2.x"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0."""
    document, measurements = measure(arguments, open_checkpoint(arguments.checkpoint))
    print(f"{document['described']}\n\n{markdown_table(measurements)}", flush=True)
    if arguments.json is not None:
        document["measurements"] = [measurement.to_json() for measurement in measurements]
        write_whole(arguments.json, json.dumps(document, indent=2).encode() + b"\n")
    return 0


def measure(arguments: argparse.Namespace, checkpoint: Checkpoint) -> tuple[dict[str, Any], list[Measurement]]:
    """Everyone once per round, in turns; and how many times slower MMDetection is, paired within a round."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    threads, images = torch.get_num_threads(), arguments.batch_size
    width, height = (-(-side // 32) * 32 for side in arguments.size)
    device = torch.device(arguments.device)
    batch = make_batch(images, width, height, len(checkpoint.config.classes))
    passes: dict[str, Callable[[], float]] = {
        f"vfnet, {precision}": TrainingPass(build_network(checkpoint), batch, precision, device).seconds
        for precision in PRECISIONS
    }
    versions = {"torch": str(torch.__version__)}
    with ExitStack() as stack:
        if arguments.mmdet is not None:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vfnet-bench-training-")))
            batch.save(scratch / "batch.npz")
            task = ("train", str(scratch / "batch.npz"))
            worker = mmdet_process(arguments.mmdet, checkpoint.path.absolute(), task, threads, scratch)
            mmdet = stack.enter_context(worker)
            versions |= {f"{name} (mmdet's)" if name == "torch" else name: v for name, v in mmdet.versions.items()}
            passes[MMDET] = lambda: mmdet.run().seconds
        contestants = [Contestant(name, "s/batch", seconds) for name, seconds in passes.items()]
        measured = run_rounds(contestants, arguments.rounds, Progress())
    per_image = [
        replace(each, unit="s/image", values=tuple(value / images for value in each.values)) for each in measured
    ]
    if arguments.mmdet is not None:
        *ours, theirs = per_image
        per_image += [ratios(f"MMDetection / {each.name}", theirs, each, SPEED_TARGET) for each in ours]
    machine = describe_machine(len(os.sched_getaffinity(0)))
    described = (
        f"Forward and backward of {checkpoint.description}; {images} images of {width} x {height} a batch, "
        f"{arguments.rounds} rounds, {threads} threads on {device}. {machine['cpu']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
    )
    return {"described": described, "machine": machine, "versions": versions}, per_image
