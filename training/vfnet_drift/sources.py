"""What the two sides of a comparison may be, and how each is read: every place becomes a `Side`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vfnet_batch.entries import from_line
from vfnet_batch.errors import BatchError
from vfnet_batch.ledger import finished_shards
from vfnet_batch.plan import INPUTS, PLAN
from vfnet_batch.rows import Row
from vfnet_batch.shard_formats import json_lines, parquet
from vfnet_capture import open_store
from vfnet_capture.layout import MARK
from vfnet_client.bounded_files import is_regular, read_file, read_text
from vfnet_client.bounded_json import parse_json
from vfnet_client.image_files import PassedOver, images_in
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_client.progress import with_progress
from vfnet_client.safe_text import printable_line, shown_reference
from vfnet_data.mltable import is_mltable
from vfnet_data.reading import read_dataset
from vfnet_drift.errors import DriftError
from vfnet_drift.metric_sources import read_metrics
from vfnet_drift.side import Example, Side, counted
from vfnet_profile.features import SCORE_FROM, FoundBox, Observation, observe
from vfnet_profile.profile import Profile, read_profile

_MOST_STATE_BYTES = 64 << 20
_MOST_LINES_BYTES = 2 << 30
_THREADS = 4
_AHEAD = 64
_ANNOTATIONS = ("captured.jsonl", "annotations.jsonl", "annotations.json")
_TABLES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Asked:
    """How places are to be read."""

    score_from: float | None = None
    """Boxes with lower scores do not count; None: the reference's, or 0.3."""
    most_images: int = 10_000
    """Of a larger place, so many drawn at random are measured."""
    images: Path | None = None
    """The folder that the images of annotations or of a batch are in."""
    deployment: str | None = None
    """Of a store or of metrics that hold several."""
    over: str = "1d"
    """Of Prometheus: the time up to now."""


@dataclass(frozen=True)
class _Item:
    """One image that is to be measured."""

    name: str
    read: Callable[[], bytes] | None
    boxes: tuple[tuple[float, float, float, float, str, float | None], ...] | None
    """Corners as fractions, label, score; None: nobody has looked for any."""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Place:
    """What a place holds, before it is measured."""

    title: str
    items: Sequence[_Item]
    boxes_are_drawn: bool = False
    notes: tuple[str, ...] = ()


def open_side(place: str, asked: Asked, reference: Profile | None = None) -> Side:
    """Read one place, measuring its images.

    Args:
        place: a folder or file of annotations, a folder of images, of `vfnet batch` or of a captured store, a store's
            URL, a file of --write-reference, or a URL of metrics.
        reference: the other side, where it is read already: metrics are counted in its bins.

    Raises:
        DriftError, VFNetError: it cannot be read.
    """
    score_from = asked.score_from
    if score_from is None:
        score_from = SCORE_FROM if reference is None else reference.score_from
    if urlsplit(place).scheme in ("http", "https"):
        if reference is None:
            raise DriftError(f"{place}: metrics can be --current only, compared with a reference that has its bins")
        profile, title, notes = read_metrics(place, reference, asked.deployment, asked.over)
        return Side(title, profile.images, profile=profile, score_from=reference.score_from, notes=notes)
    if _is_profile(place):
        profile = read_profile(Path(place))
        if asked.score_from not in (None, profile.score_from):
            raise DriftError(
                f"{place} counts boxes from a score of {profile.score_from:g} on; --score-from says another"
            )
        return Side(Path(place).name, profile.images, profile=profile, score_from=profile.score_from)
    return _measured(_find(place, asked), asked.most_images, score_from)


def _is_profile(place: str) -> bool:
    path = Path(place)
    if path.suffix != ".json" or not is_regular(path):
        return False
    with path.open("rb") as file:
        return b'"vfnet_profile"' in file.read(200)


def _find(place: str, asked: Asked) -> _Place:
    if "://" in place:
        return _store(place, asked)
    path = Path(place)
    if not path.exists():
        raise DriftError(f"{place}: there is no such file or folder")
    if path.is_dir():
        if (path / MARK).exists():
            return _store(place, asked)
        if (path / PLAN).exists():
            return _batch(path, asked)
        if not is_mltable(path) and not any((path / name).exists() for name in ("Annotations", "annotations.xml")):
            annotations = _annotations_in(path)
            if annotations is None:
                return _pictures(path)
            path = annotations
    return _annotated(path, asked)


def _annotations_in(folder: Path) -> Path | None:
    """The one file of annotations; None where there is none, and images are."""
    for name in _ANNOTATIONS:
        if (folder / name).exists():
            return folder / name
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES)
    if len(tables) > 1:
        names = printable_line(", ".join(path.name for path in tables))
        raise DriftError(f"{folder} holds several files that may be annotations ({names}): name one of them")
    if tables:
        return tables[0]
    if any(path.suffix.lower() == ".xml" for path in folder.iterdir()):
        return folder
    return None


def _pictures(folder: Path) -> _Place:
    passed_over = PassedOver()
    paths = sorted(images_in(folder, passed_over))
    if not paths:
        raise DriftError(f"{folder} holds no image, no annotations, no batch and no captured store")
    items = [_Item(path.name, _reader(path), None) for path in paths]
    note = f"{folder}: images without boxes, so that only images are compared"
    return _Place(_title(folder), items, notes=(note,))


def _annotated(path: Path, asked: Asked) -> _Place:
    dataset = read_dataset(path, asked.images, skip_invalid=True)
    items = []
    for image in dataset.images:
        keep = ~image.crowd
        boxes = tuple(
            (x1 / image.width, y1 / image.height, x2 / image.width, y2 / image.height, dataset.classes[label], None)
            for (x1, y1, x2, y2), label in zip(image.boxes[keep].tolist(), image.labels[keep].tolist(), strict=True)
        )
        items.append(_Item(image.path.name, _reader(image.path), boxes, (image.width, image.height)))
    return _Place(_title(path), items, boxes_are_drawn=True, notes=dataset.notes)


def _batch(folder: Path, asked: Asked) -> _Place:
    try:
        plan: Any = parse_json(read_text(folder / PLAN, _MOST_STATE_BYTES))
        root, settings = Path(plan["input"]), plan["settings"]
        lines = read_text(folder / INPUTS, _MOST_LINES_BYTES).splitlines()
        locations = [from_line(line, position, str(root)).location for position, line in enumerate(lines)]
        kind = next(
            each for each in (json_lines(), parquet()) if any((folder / "shards").glob(f"*{each.suffix}"))
        )  # fmt: skip
        rows: list[tuple[int, Row]] = []
        for span, path in finished_shards(folder / "shards", kind.suffix, len(lines)).items():
            rows += zip(range(span.first, span.end), kind.read(path), strict=True)
    except StopIteration:
        raise DriftError(f"{folder} is a batch without a finished part yet") from None
    except (BatchError, OSError, ValueError, KeyError, TypeError) as error:
        raise DriftError(f"{folder} is no batch that can be read ({printable_line(str(error))})") from error
    items, missing = [], 0
    for position, row in rows:
        if row.boxes is None:
            continue
        picture = _where(row, locations[position], root, asked.images)
        missing += picture is None
        size = (row.width, row.height) if row.width and row.height else None
        boxes = tuple((*(box["box"][corner] for corner in _CORNERS), box["label"], box["score"]) for box in row.boxes)
        items.append(_Item(row.image, None if picture is None else _reader(picture), boxes, size))
    notes = []
    if missing:
        notes.append(f"{folder}: {missing} of {len(items)} image files are not there any more: --images says where")
    threshold = settings.get("score_threshold") if isinstance(settings, dict) else None
    if isinstance(threshold, int | float) and threshold > (asked.score_from or SCORE_FROM):
        notes.append(f"{folder} was scored with a threshold of {threshold:g}: lower boxes are not there")
    if len(items) < len(rows):
        notes.append(f"{folder}: {len(rows) - len(items)} images that failed are left out")
    return _Place(_title(folder), items, notes=tuple(notes))


_CORNERS = ("topX", "topY", "bottomX", "bottomY")


def _where(row: Row, location: str, root: Path, images: Path | None) -> Path | None:
    candidates = [Path(location), root / row.image, root.parent / row.image]
    if images is not None:
        candidates = [images / row.image, images / Path(row.image).name, *candidates]
    return next((path for path in candidates if is_regular(path)), None)


def _store(place: str, asked: Asked) -> _Place:
    store = open_store(place)
    every = [image for image in store.images() if asked.deployment in (None, image.deployment)]
    sampled = [image for image in every if image.is_sampled]
    deployments = sorted({image.deployment for image in sampled})
    if len(deployments) > 1:
        raise DriftError(f"{place} holds images of {', '.join(deployments)}: choose one with --deployment")
    if not sampled:
        raise DriftError(f"{place} holds no image that was kept by chance (--capture-share): others are no fair sample")
    items = []
    for image in sampled:
        boxes = tuple((box.x1, box.y1, box.x2, box.y2, box.label, box.score) for box in image.detections)

        def read(image: Any = image) -> bytes:
            return store.picture(image)

        items.append(_Item(f"{image.id}.{image.ending}", read, boxes, (image.width, image.height)))
    notes = []
    if len(every) > len(sampled):
        notes.append(f"{place}: {len(every) - len(sampled)} images are left out that were not kept by chance")
    return _Place(_title(Path(place)), items, notes=tuple(notes))


def _measured(place: _Place, most: int, score_from: float) -> Side:
    notes, items = list(place.notes), list(place.items)
    if len(items) > most:
        items = [items[index] for index in sorted(random.Random(0).sample(range(len(items)), most))]
        notes.append(f"{place.title}: {most} of {len(place.items)} images, drawn at random (--most-images)")
    if not items:
        raise DriftError(f"{place.title} holds no image")
    observations = list(
        with_progress(_in_order(items, score_from), len(items), f"measuring {printable_line(place.title, 60)}")
    )
    unread = sum("brightness" not in each.numbers for each in observations)
    if unread:
        notes.append(f"{place.title}: the brightness of {unread} images is not known")
    examples = [_example(item, score_from) for item in items if item.read is not None]
    return Side(
        place.title, len(items), observations, examples if len(examples) == len(items) else (),
        score_from=score_from, boxes_are_drawn=place.boxes_are_drawn, notes=tuple(notes),
    )  # fmt: skip


def _in_order(items: Sequence[_Item], score_from: float) -> Iterable[Observation]:
    """Decoding lets go of the interpreter, so that threads help."""

    def measure(item: _Item) -> Observation:
        encoded = None
        if item.read is not None:
            try:
                encoded = item.read()
            except OSError:
                encoded = None
        boxes = None if item.boxes is None else _found(item)
        return observe(encoded, boxes, item.size, score_from)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(items), _AHEAD):
            yield from pool.map(measure, items[start : start + _AHEAD])


def _found(item: _Item) -> list[FoundBox]:
    return [FoundBox(label, x2 - x1, y2 - y1, score) for x1, y1, x2, y2, label, score in item.boxes or ()]


def _example(item: _Item, score_from: float) -> Example:
    assert item.read is not None
    boxes = item.boxes or ()
    kept = counted(_found(item), score_from)
    return Example(item.name, item.read, tuple(boxes[index][:5] for index in kept))


def _reader(path: Path) -> Callable[[], bytes]:
    return lambda: read_file(path, MAX_FILE_BYTES)


def _title(path: Path) -> str:
    return printable_line(shown_reference(str(path)), 200)


def write_reference(side: Side) -> bytes:
    """The side's histograms as the file that the gateway and this command read."""
    return json.dumps(side.to_profile().to_json(), ensure_ascii=False).encode() + b"\n"
