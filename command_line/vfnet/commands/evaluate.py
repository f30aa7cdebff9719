"""`vfnet evaluate`: a server, a checkpoint or saved detections against annotated images, or two of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from vfnet.commands.augmentations import add_augmentation_arguments, augmentations_from
from vfnet.commands.compared_sources import check_comparison, compared_source, run_comparison
from vfnet.commands.detection_settings import (
    add_detection_arguments,
    detection_settings_from,
    per_request,
    requested_settings,
)
from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import GivenOnce, at_least_one, ensemble_name, seconds, server_url
from vfnet_client.commands.tiling_options import add_tiling_arguments, note_on_training, tiling_from
from vfnet_client.exceptions import CommandError
from vfnet_client.safe_text import printable_lines
from vfnet_data.box_layouts import LAYOUTS
from vfnet_data.dataset import DetectionDataset
from vfnet_data.reading import read_dataset
from vfnet_evaluate.coco_results import read_coco_results, write_coco_results
from vfnet_evaluate.errors import EvaluationError
from vfnet_evaluate.report import make_report
from vfnet_evaluate.report_folder import write_report_folder
from vfnet_evaluate.sources import DetectedDataset, detect_with_network, detect_with_server

_LONGEST_LINE = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet evaluate`."""
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="FILE|FOLDER",
        help="the truth: COCO JSON, AutoML JSONL, a folder of Pascal VOC or one of its ImageSets lists",
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the images are (default: near the annotations)"
    )
    parser.add_argument(
        "--skip-invalid", action="store_true",
        help="leave out images and boxes that have problems, list and count them, and go on without",
    )  # fmt: skip
    parser.add_argument(
        "--boxes", choices=tuple(LAYOUTS),
        help="what the four numbers of COCO's boxes are (default: found; COCO's own are xywh)",
    )  # fmt: skip
    evaluated = parser.add_mutually_exclusive_group(required=True)
    evaluated.add_argument(
        "--server", type=server_url, action=GivenOnce, metavar="URL", help="a running server, such as grpc://host:8001"
    )
    parser.add_argument(
        "--model", type=ensemble_name, metavar="NAME", help="of the server's, the one to ask where it has several"
    )
    evaluated.add_argument("--checkpoint", metavar="FILE|URL|coco|demo", help="a checkpoint, computed here by torch")
    evaluated.add_argument("--detections", type=Path, metavar="FILE", help="detections in COCO's result format")
    evaluated.add_argument(
        "--compare",
        nargs=2,
        type=compared_source,
        action=GivenOnce,
        metavar=("A", "B"),
        help="two of these three and what B gained and lost: each a server's URL (with #NAME, that model of it), "
        "detections or a checkpoint; an http(s) URL with a file's ending is a checkpoint's",
    )
    add_detection_arguments(parser)
    add_augmentation_arguments(parser)
    add_tiling_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write a report with curves and pictures")
    parser.add_argument(
        "--worst", type=at_least_one, default=8, metavar="N", help="images drawn (default: %(default)s)"
    )
    parser.add_argument("--save-detections", type=Path, metavar="FILE", help="write COCO's result format")
    parser.add_argument(
        "--device", metavar="NAME", help="where torch computes --checkpoint (default: cuda if there is one, else cpu)"
    )
    parser.add_argument(
        "--concurrency", type=at_least_one, default=16, metavar="N", help="images sent at once (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for the server's answer to one image (default: %(default)g)",
    )
    parser.epilog = (
        "An image that cannot be detected in counts as one without detections and is named on stderr. "
        "AP and its kin are printed in percent, and written to --json as fractions; -1 there: nothing to count."
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the figures; 0 however good they are."""
    _check_targets(arguments)
    dataset = read_dataset(
        arguments.annotations,
        arguments.images,
        allow_unreadable=True,
        skip_invalid=arguments.skip_invalid,
        box_layout=arguments.boxes,
    )
    for note in dataset.notes:
        _say(note)
    if not dataset.classes:
        raise EvaluationError(f"{arguments.annotations}: no box is annotated and no class is named: nothing to compare")
    if arguments.compare is not None:
        return run_comparison(arguments, dataset, _detect)
    source, detected = _detect(arguments, dataset)
    for note in detected.notes:
        _say(note)
    if arguments.save_detections is not None:
        write_coco_results(dataset, detected.detections, arguments.save_detections)
    report = make_report(source, dataset, detected)
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(report.to_json(), indent=2, ensure_ascii=False).encode() + b"\n")
    if arguments.output is not None:
        write_report_folder(report, arguments.output, arguments.worst)
    for line in report.told_failures():
        _say(line)
    print(printable_lines(report.to_markdown(), _LONGEST_LINE), flush=True)
    return 0


def _detect(arguments: argparse.Namespace, dataset: DetectionDataset) -> tuple[str, DetectedDataset]:
    """What is evaluated, in words, and its detections."""
    tiling = tiling_from(arguments)
    tiles = "" if tiling is None else str(tiling)
    settings = detection_settings_from(arguments)
    if arguments.server is not None:
        options = per_request(settings)
        found = detect_with_server(
            dataset,
            arguments.server,
            arguments.concurrency,
            arguments.timeout,
            arguments.model,
            options,
            tiling,
        )
        told = f"({options})" if options else None
        words = " ".join(filter(None, ("server", arguments.server, arguments.model, told)))
        return ", ".join(filter(None, (words, tiles))), found
    if arguments.detections is not None:
        return f"detections {arguments.detections}", DetectedDataset(read_coco_results(dataset, arguments.detections))
    # Here, so that a server can be evaluated without torch.
    from vfnet_model.checkpoints.resolve import open_checkpoint
    from vfnet_model.detectors.checkpoint_detector import CheckpointDetector, load_network

    checkpoint = open_checkpoint(arguments.checkpoint)
    checkpoint = replace(checkpoint, config=settings.applied_to(checkpoint.config))
    network = load_network(checkpoint, arguments.device)
    _say(checkpoint.description)
    augmentations = augmentations_from(arguments)
    found = detect_with_network(dataset, CheckpointDetector(network, augmentations, tiling))
    if (note := note_on_training(checkpoint.tiling)) is not None and tiling is None:
        found = replace(found, notes=(*found.notes, note))
    description = ", ".join(filter(None, (checkpoint.description, str(settings), str(augmentations), tiles)))
    return f"checkpoint {checkpoint.path.name} ({description})", found


def _check_targets(arguments: argparse.Namespace) -> None:
    """Find out before the work whether it could be done and its results be written."""
    settings = detection_settings_from(arguments)
    settings.check()
    augmentations = augmentations_from(arguments)
    augmentations.check()
    tiling = tiling_from(arguments)
    compared = arguments.compare or ()
    only_files = arguments.detections is not None or (compared and all(each.detections for each in compared))
    if tiling is not None and only_files:
        raise CommandError(f"{tiling}: only for --server and --checkpoint; detections in a file are there already")
    if arguments.compare is not None:
        check_comparison(arguments, settings, augmentations)
    elif settings and arguments.detections is not None:
        requested_settings(settings)
        raise CommandError(f"{settings}: only for --checkpoint and --server; --detections are what they are")
    elif augmentations and arguments.checkpoint is None:
        raise CommandError(f"{augmentations}: only for --checkpoint; a server detects in an image once, as it is")
    if arguments.server is not None:
        requested_settings(settings)
    if settings.scale is not None and augmentations.scales:
        raise CommandError("--scale and --scales: give all scales with --scales")
    for target in (arguments.json, arguments.save_detections):
        if target is not None and not target.absolute().parent.is_dir():
            raise EvaluationError(f"cannot write {target}: there is no such folder")
        if target is not None and target.is_dir():
            raise EvaluationError(f"cannot write {target}: it is a folder")
    if arguments.output is not None:
        try:
            arguments.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(f"cannot write into {arguments.output}: {error.strerror}") from None
        if not os.access(arguments.output, os.W_OK):
            raise EvaluationError(f"cannot write into {arguments.output}: Permission denied")


def _say(message: str) -> None:
    print(printable_lines(f"vfnet evaluate: {message}"), file=sys.stderr, flush=True)
