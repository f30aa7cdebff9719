"""`vfnet evaluate --compare A B`: what each of the two is, and their comparison written and printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from vfnet.commands.detection_settings import detection_settings_from, only_built, per_request
from vfnet_client.atomic_files import write_whole
from vfnet_client.client import VFNetClient
from vfnet_client.commands.options import ensemble_name, server_url
from vfnet_client.exceptions import CommandError, InterruptedWorkError, VFNetError
from vfnet_client.retry_policy import proof_picture
from vfnet_client.safe_text import printable_lines
from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_results import read_coco_results
from vfnet_evaluate.comparison import compare
from vfnet_evaluate.comparison_folder import write_comparison_folder
from vfnet_evaluate.errors import EvaluationError
from vfnet_evaluate.label_names import reconcile
from vfnet_evaluate.report import EvaluationReport, make_report
from vfnet_evaluate.sources import DetectedDataset
from vfnet_model.augmentations import Augmentations
from vfnet_model.detection_settings import DetectionSettings

_LONGEST_LINE = 10_000
_NAMED_CHECKPOINTS = ("coco", "demo")

Detect = Callable[[argparse.Namespace, DetectionDataset], tuple[str, DetectedDataset]]
"""`vfnet evaluate`'s: detections of what its options name, and that in words."""


class ComparedSource(NamedTuple):
    """One of the two: just one of the first three is given, as to `vfnet evaluate`'s options of these names."""

    server: str | None = None
    checkpoint: str | None = None
    detections: Path | None = None
    model: str | None = None
    """Of the server's."""


def compared_source(text: str) -> ComparedSource:
    """An argument that names a server (URL, URL#MODEL), a checkpoint or a file of detections.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    scheme, separator, _ = text.partition("://")
    is_web = scheme.lower() in ("http", "https")
    if separator and not (is_web and PurePosixPath(urlsplit(text).path).suffix):
        url, mark, model = text.partition("#")
        return ComparedSource(server=server_url(url), model=ensemble_name(model) if mark else None)
    if separator or text in _NAMED_CHECKPOINTS:
        return ComparedSource(checkpoint=text)
    path = Path(text).expanduser()
    try:
        if path.is_dir() or (path.is_file() and not _is_json(path)):
            return ComparedSource(checkpoint=text)
        if path.is_file():
            return ComparedSource(detections=path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text!r}: {error.strerror}") from None
    raise argparse.ArgumentTypeError(
        f"{text!r} is no server's URL such as grpc://host:8001, no file and no checkpoint's name (coco, demo)"
    )


def check_comparison(arguments: argparse.Namespace, settings: DetectionSettings, augmentations: Augmentations) -> None:
    """Find out before the work whether the options go together.

    Raises:
        CommandError: they do not.
    """
    if arguments.save_detections is not None:
        raise CommandError("--save-detections is for one source, not for --compare: save each and compare the files")
    options = per_request(settings)
    if options and all(source.detections for source in arguments.compare):
        raise CommandError(f"{options}: only for servers and checkpoints, and --compare names none")
    for change in (only_built(settings), augmentations):
        if change and not any(source.checkpoint for source in arguments.compare):
            raise CommandError(f"{change}: only for checkpoints, and --compare names none")
    if arguments.model is not None and not any(source.server for source in arguments.compare):
        raise CommandError(f"--model {arguments.model}: only for servers, and --compare names none")


def run_comparison(arguments: argparse.Namespace, dataset: DetectionDataset, detect: Detect) -> int:
    """Detect with A, then with B, and say what differs; 0 whichever is better.

    Raises:
        VFNetError: begins with A or B: whose detections cannot be had.
    """
    sides = tuple(zip("AB", arguments.compare, strict=True))
    for name, source in sides:
        with _blamed_on(name):
            _check(arguments, source, dataset)
    reports = []
    for name, source in sides:
        _say(f"{name}: {source.server or source.checkpoint or source.detections}")
        given = {**source._asdict(), "model": source.model or (arguments.model if source.server else None)}
        with _blamed_on(name):
            words, detected = detect(argparse.Namespace(**vars(arguments) | given), dataset)
        reports.append(make_report(words, dataset, detected))
        _tell(name, reports[-1])
    comparison = compare(*reports)
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(comparison.to_json(), indent=2, ensure_ascii=False).encode() + b"\n")
    if arguments.output is not None:
        write_comparison_folder(comparison, arguments.output, arguments.worst)
    print(printable_lines(comparison.to_markdown(arguments.worst), _LONGEST_LINE), flush=True)
    return 0


def _check(arguments: argparse.Namespace, source: ComparedSource, dataset: DetectionDataset) -> None:
    """Rather now than after the other one has detected in thousands of images: whether there is such a source."""
    if source.server is not None:
        model, options = source.model or arguments.model, per_request(detection_settings_from(arguments))
        with VFNetClient(source.server, timeout=arguments.timeout, model=model) as client:
            client.check()
            if options:  # which a model may be too old for
                client.detect(proof_picture(), **asdict(options))
    elif source.detections is not None:
        read_coco_results(dataset, source.detections)
    elif source.checkpoint is not None:
        from vfnet_model.checkpoints.resolve import open_checkpoint  # here: servers are compared without torch

        classes = open_checkpoint(source.checkpoint).config.classes
        reconcile(classes, dataset.classes, annotated=dataset.annotated_classes)


@contextmanager
def _blamed_on(name: str) -> Iterator[None]:
    """Errors made in here say which of the two they are about."""
    try:
        yield
    except InterruptedWorkError:
        raise
    except VFNetError as error:
        raise EvaluationError(f"{name}: {error}") from error


def _is_json(path: Path) -> bool:
    """Whether it is text that could be COCO's results, and no checkpoint."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".json" or file.read(64).lstrip().startswith(b"[")


def _tell(name: str, report: EvaluationReport) -> None:
    """What a person should know of one of the two, on stderr."""
    for line in (*report.detected.notes, *report.told_failures()):
        _say(f"{name}: {line}")


def _say(message: str) -> None:
    print(printable_lines(f"vfnet evaluate: {message}"), file=sys.stderr, flush=True)
