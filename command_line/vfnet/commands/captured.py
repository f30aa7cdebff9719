"""`vfnet captured`: what a gateway has kept of the images that it answered; list it, export it, forget it."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vfnet_capture.captured_image import CapturedImage
from vfnet_capture.exporting import export
from vfnet_capture.forgetting import Criteria, forget
from vfnet_capture.layout import is_id
from vfnet_capture.store import CaptureStore, open_store
from vfnet_client.bounded_files import read_file
from vfnet_client.byte_sizes import shown_bytes
from vfnet_client.commands.options import at_least_one
from vfnet_client.exceptions import CommandError
from vfnet_client.safe_text import printable_line

ACTIONS = {
    "count": "how many there are, and why they were kept",
    "list": "one a line, oldest first, or with --doubtful the least certain first",
    "export": "copy the accepted ones and their tables into a new folder, for vfnet finetune and vfnet evaluate",
    "forget": "remove images, with all that the store holds of them",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AGE = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LARGEST_PICTURE = 1 << 30
NOT_REMOVED = (
    "not removed, because nothing here knows of it: what was exported or downloaded, models that were trained on it, "
    "backups and snapshots of the store, older versions that an object store keeps, and the request ids in logs. "
    "Images that a running gateway has answered in the last seconds may still arrive: forget them once more in a minute"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which store, and with which images of it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "what to do:\n" + "\n".join(f"  {name:<8}{meaning}" for name, meaning in ACTIONS.items())
    parser.add_argument("action", choices=tuple(ACTIONS), metavar="|".join(ACTIONS), help="what to do, see below")
    parser.add_argument("store", metavar="DIR|URL", help="the gateway's --capture")
    listing = parser.add_argument_group("list")
    listing.add_argument("--doubtful", action="store_true", help="the least certain first")
    listing.add_argument("--limit", type=at_least_one, metavar="N", help="so many at most (default: all)")
    exporting = parser.add_argument_group("export")
    exporting.add_argument("--output", type=Path, metavar="DIR", help="the new folder")
    exporting.add_argument("--everything", action="store_true", help="also what nobody has accepted")
    forgetting = parser.add_argument_group("forget")
    forgetting.add_argument(
        "--request", action="append", default=[], metavar="ID",
        help="all images of the request with this x-request-id; may be repeated",
    )  # fmt: skip
    forgetting.add_argument(
        "--sha256", action="append", default=[], type=_digest, metavar="DIGEST",
        help="all images with these bytes; may be repeated",
    )  # fmt: skip
    forgetting.add_argument(
        "--image", action="append", default=[], type=Path, metavar="FILE",
        help="all images with the bytes of this file; may be repeated",
    )  # fmt: skip
    forgetting.add_argument(
        "--id", action="append", default=[], type=_image_id, metavar="ID",
        help="the image that is called so; may be repeated",
    )  # fmt: skip
    when = "a time such as 2026-11-29T16:00, in UTC unless it says otherwise, or an age such as 90m, 12h or 30d"
    forgetting.add_argument("--since", type=_time, metavar="TIME", help=f"all that were answered then or later: {when}")
    forgetting.add_argument("--until", type=_time, metavar="TIME", help="all that were answered before")
    forgetting.add_argument("--all", action="store_true", help="every one")


def run(arguments: argparse.Namespace) -> int:
    """0."""
    _check(arguments)
    store = open_store(arguments.store)
    try:
        if arguments.action == "count":
            _count(store)
        elif arguments.action == "list":
            _list(store, doubtful=arguments.doubtful, limit=arguments.limit)
        elif arguments.action == "export":
            exported = export(store, arguments.output, everything=arguments.everything)
            _say(f"exported {_images(exported)} to {arguments.output}")
        else:
            _forget(store, arguments)
    except OSError as error:
        raise CommandError(f"{store.url}: {error.strerror or error}") from error
    return 0


def _check(arguments: argparse.Namespace) -> None:
    chosen = [arguments.request, arguments.sha256, arguments.image, arguments.id, arguments.since, arguments.until]
    chooses = any(chosen) or arguments.all
    if arguments.action == "forget" and not chooses:
        raise CommandError("say what to forget: --request, --sha256, --image, --id, --since, --until or --all")
    if arguments.action != "forget" and chooses:
        raise CommandError(f"{arguments.action} takes the whole store: only forget chooses images")
    if arguments.action == "export" and arguments.output is None:
        raise CommandError("say where to export to: --output DIR")


def _count(store: CaptureStore) -> None:
    images = list(store.images())
    states = Counter("not reviewed" if image.review is None else image.review.state for image in images)
    reasons = Counter(reason for image in images for reason in image.reasons)
    print(f"{_images(len(images))}, {shown_bytes(sum(image.byte_count for image in images))}")
    for title, counts in (("review", states), ("kept because of", reasons)):
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(counts.items()))
        print(f"{title}: {said or 'none'}")
    if images:
        print(f"from {images[0].at:%Y-%m-%d %H:%M:%S} to {images[-1].at:%Y-%m-%d %H:%M:%S} UTC")


def _list(store: CaptureStore, *, doubtful: bool, limit: int | None) -> None:
    images = store.images()
    if doubtful:
        images = iter(sorted(images, key=lambda image: image.certainty))
    for number, image in enumerate(images):
        if limit is not None and number >= limit:
            return
        print(_line(image))


def _line(image: CapturedImage) -> str:
    state = "-" if image.review is None else image.review.state
    words = (image.id, f"{image.certainty:.2f}", len(image.labels), ",".join(image.reasons), state, image.deployment,
             printable_line(image.request), image.sha256)  # fmt: skip
    return "\t".join(map(str, words))


def _forget(store: CaptureStore, arguments: argparse.Namespace) -> None:
    digests = list(arguments.sha256)
    for path in arguments.image:
        try:
            digests.append(hashlib.sha256(read_file(path, _LARGEST_PICTURE)).hexdigest())
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from error
    criteria = Criteria(
        frozenset(arguments.id), frozenset(arguments.request), frozenset(digests), arguments.since, arguments.until,
        arguments.all,
    )  # fmt: skip
    done = forget(store, criteria)
    _say(f"forgot {_images(done.images)}, {shown_bytes(done.bytes)}; {_images(done.left)} are left in {store.url}")
    _say(NOT_REMOVED)


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _say(line: str) -> None:
    print(f"vfnet captured: {line}", file=sys.stderr)


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256: it has 64 hexadecimal digits")
    return text.lower()


def _image_id(text: str) -> str:
    if not is_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no image's id; `vfnet captured list` has them")
    return text


def _time(text: str) -> datetime:
    try:
        if age := _AGE.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: float(age[1])})
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # OverflowError: before the year 1
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time such as 2026-11-29T16:00 nor an age such as 90m, 12h or 30d"
        ) from None
