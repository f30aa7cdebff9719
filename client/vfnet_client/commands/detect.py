"""`vfnet detect`: images, URLs and folders in; a summary, the documented JSON or annotated pictures out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from vfnet_client.atomic_files import fitting_name, write_inside, write_whole
from vfnet_client.commands.options import (
    add_detection_options,
    add_server_options,
    at_least_one,
    connected,
    detection_options,
)
from vfnet_client.commands.tiling_options import add_tiling_arguments, served_note_on_training, tiling_from
from vfnet_client.contract import score_response
from vfnet_client.detections import Detections, ImageResult
from vfnet_client.exceptions import (
    AccessDeniedError,
    CommandError,
    InvalidImageError,
    InvalidOptionsError,
    ServerUnavailableError,
)
from vfnet_client.image_files import PassedOver
from vfnet_client.images import Source, expand
from vfnet_client.progress import Progress
from vfnet_client.safe_text import printable_line
from vfnet_images.jpeg_ends import NOTE, lacks_end_marker

_LONGEST_LINE = 6000
_MOST_STEM_BYTES = 200
"""Of a drawing's name: leaves room for a number, a suffix and what an unfinished file has more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument("images", metavar="IMAGE|URL|FOLDER", nargs="+", help="a folder stands for its images, by name")
    parser.add_argument("--json", metavar="FILE", help="write the documented response list here; - is stdout")
    parser.add_argument("--draw", metavar="FOLDER", type=Path, help="write annotated pictures here")
    add_detection_options(parser)
    parser.add_argument(
        "--concurrency", metavar="N", type=at_least_one, default=16, help="images in flight (default: %(default)s)"
    )
    add_tiling_arguments(parser)
    add_server_options(parser)
    parser.epilog = (
        "An image that cannot be read is null in the JSON and named on stderr; the others are done all the same. "
        "Exit code: 0, or 1 where anything failed."
    )


def run(arguments: argparse.Namespace) -> int:
    """Detect on every image in turn. A bad image is reported and passed over; a dead or closed server ends it,
    and so does what the model cannot be asked for."""
    tiling, untiled = tiling_from(arguments), 0
    passed_over = PassedOver()
    sources = expand(arguments.images, passed_over)
    _check_targets(arguments)
    stems = drawing_stems(sources, arguments.draw) if arguments.draw else None
    answers: list[bytes | None] = []
    failures = 0
    with (
        connected(arguments, arguments.concurrency) as client,
        Progress("detecting", len(sources), line_seconds=None) as progress,
    ):
        if passed_over:
            progress.write(f"vfnet detect: {passed_over}")
        progress.begin()
        options = asdict(detection_options(arguments))
        outcomes = client.detect_many((source.location for source in sources), **options, tiling=tiling)
        for source, outcome in zip(sources, outcomes, strict=True):
            found, reason = outcome.detections, _failure(outcome)
            untiled += tiling is not None and found is not None and outcome.tiles == 0
            if found is not None and arguments.json is None:
                progress.write(summary(source.name, found), sys.stdout)
            if found is not None and outcome.image is not None and lacks_end_marker(outcome.image):
                progress.write(printable_line(f"vfnet detect: {source.name}: {NOTE}", _LONGEST_LINE))
            if found is not None and outcome.image is not None and stems is not None:
                reason = _draw(arguments.draw / stems[outcome.position], outcome.image, found)
            if reason is not None:
                failures += 1
                progress.write(printable_line(f"vfnet detect: {source.name}: {reason}", _LONGEST_LINE))
            answers.append(None if found is None else json.dumps(found.to_json()).encode())
            progress.advance()
        if (note := served_note_on_training(client, tiling) if any(answers) else None) is not None:
            progress.write(f"vfnet detect: {note}")
        if untiled:
            progress.write(f"vfnet detect: {untiled} of {len(sources)} images are too small for such tiles: not tiled")
    _write_json(arguments.json, score_response(answers) + b"\n")
    return 1 if failures else 0


def summary(name: str, detections: Detections) -> str:
    """What a person reads: a line for the image and one per box."""
    count = len(detections.boxes)
    lines = [f"{name}: {count} box{'' if count == 1 else 'es'}"]
    width = max((len(box.label) for box in detections.boxes), default=0)
    for box in detections.boxes:
        corners = f"{box.top_x:.3f} {box.top_y:.3f} {box.bottom_x:.3f} {box.bottom_y:.3f}"
        lines.append(f"  {box.label:<{width}}  {box.score:.3f}  {corners}")
    return "\n".join(lines)


def drawing_stems(sources: list[Source], folder: Path) -> list[str]:
    """A file name without suffix for each drawing in `folder`: none twice, and none over an image it is drawn from.

    Names that differ in case only count as one: on some disks they are.
    """
    taken = {_spot(source.location) for source in sources if isinstance(source.location, Path)}
    stems, counts = [], dict[str, int]()
    for source in sources:
        beginning = fitting_name(source.stem, "", _MOST_STEM_BYTES)
        stem, number = beginning, 1
        while _spot(folder / stem) in taken:
            number = counts.get(beginning, 1) + 1
            counts[beginning] = number
            stem = f"{beginning}-{number}"
        taken.add(_spot(folder / stem))
        stems.append(stem)
    return stems


def _spot(path: Path) -> str:
    real = Path(os.path.realpath(path))  # unlike Path.resolve, also of a link in a circle
    return str(real.parent / path.stem).casefold()


def _check_targets(arguments: argparse.Namespace) -> None:
    """Find out before the work whether its results could be written."""
    if arguments.json not in (None, "-") and not Path(arguments.json).resolve().parent.is_dir():
        raise CommandError(f"cannot write {arguments.json}: there is no such folder")
    if arguments.draw:
        arguments.draw.mkdir(parents=True, exist_ok=True)


def _failure(outcome: ImageResult) -> str | None:
    if isinstance(outcome.error, ServerUnavailableError | AccessDeniedError | InvalidOptionsError):
        raise outcome.error
    return None if outcome.error is None else str(outcome.error)


def _draw(path: Path, image: bytes, found: Detections) -> str | None:
    """Write the drawing; a reason where Pillow here cannot read what the server could."""
    from vfnet_client.drawing import annotate

    try:
        drawing, suffix = annotate(image, found)
    except InvalidImageError as error:
        return str(error)
    write_inside(path.with_name(path.name + suffix), drawing)
    return None


def _write_json(target: str | None, body: bytes) -> None:
    if target == "-":
        sys.stdout.buffer.write(body)
    elif target is not None:
        write_whole(Path(target), body)
