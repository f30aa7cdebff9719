"""`vfnet drift`: whether the images of now, and what is found in them, are still like those of then."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import at_least_one, fraction
from vfnet_client.exceptions import CommandError
from vfnet_client.safe_text import printable_lines
from vfnet_drift.comparison import ALPHA, compare
from vfnet_drift.sources import Asked, open_side, write_reference
from vfnet_profile.distances import SMALL
from vfnet_profile.features import SCORE_FROM

EXIT_DRIFT = 3
"""Drift was found: another code than that of an error, so that a script can tell."""
_LONGEST_LINE = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet drift`."""
    parser.add_argument(
        "--reference", required=True, metavar="PLACE",
        help="how it was: annotations with images, a folder of images, of vfnet batch or of a captured store, or a "
        "file of --write-reference",
    )  # fmt: skip
    parser.add_argument(
        "--current", metavar="PLACE",
        help="how it is: likewise, or the URL of a gateway's /metrics or of Prometheus",
    )  # fmt: skip
    parser.add_argument(
        "--write-reference", type=Path, metavar="FILE",
        help="write what the reference is like, without its images, for vfnet gateway --drift-reference",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="write a page with pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the images of annotations or of a batch are"
    )
    parser.add_argument("--deployment", metavar="NAME", help="of a store or of metrics that hold several")
    parser.add_argument(
        "--over", default=Asked.over, metavar="TIME", help="of Prometheus, up to now (default: %(default)s)"
    )
    parser.add_argument(
        "--score-from",
        type=fraction,
        metavar="SCORE",
        help=f"boxes with lower scores do not count (default: {SCORE_FROM})",
    )
    parser.add_argument(
        "--most-images", type=at_least_one, default=Asked.most_images, metavar="N",
        help="of a larger place, so many drawn at random are measured (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--alpha", type=fraction, default=ALPHA, metavar="SHARE",
        help="which share of the findings may be chance (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--least-effect", type=fraction, default=SMALL, metavar="V",
        help="Cramér's V from which on a difference counts (default: %(default)s)",
    )  # fmt: skip
    parser.epilog = (
        f"Exits with 0 where no drift was found, with {EXIT_DRIFT} where there is drift, with 1 after an error."
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare, or only write the reference."""
    if arguments.current is None and arguments.write_reference is None:
        raise CommandError("give --current to compare with, or --write-reference to write what the reference is like")
    if arguments.current is None and (arguments.output or arguments.json):
        raise CommandError("--output and --json tell of a comparison: give --current too")
    for target in (arguments.write_reference, arguments.output, arguments.json):
        if target is not None and not target.absolute().parent.is_dir():
            raise CommandError(f"cannot write {target}: there is no such folder")
    asked = Asked(arguments.score_from, arguments.most_images, arguments.images, arguments.deployment, arguments.over)
    reference = open_side(arguments.reference, asked)
    if arguments.write_reference is not None:
        write_whole(arguments.write_reference, write_reference(reference))
        _say(f"{arguments.write_reference} describes {reference.images} images")
    if arguments.current is None:
        for note in reference.notes:
            _say(note)
        return 0
    current = open_side(arguments.current, asked, reference.to_profile())
    comparison = compare(reference, current, arguments.alpha, arguments.least_effect)
    from vfnet_drift.page import to_html, to_text  # matplotlib, which only a comparison needs

    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(comparison.to_json(), indent=2, ensure_ascii=False).encode() + b"\n")
    if arguments.output is not None:
        write_whole(arguments.output, to_html(comparison).encode())
    print(printable_lines(to_text(comparison), _LONGEST_LINE), flush=True)
    return EXIT_DRIFT if comparison.drifted else 0


def _say(message: str) -> None:
    print(printable_lines(f"vfnet drift: {message}"), file=sys.stderr, flush=True)
