"""Single files that are made from the finished shards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vfnet_batch.rows import Row
from vfnet_client.atomic_files import durable_file
from vfnet_client.detections import Detections

PREDICTIONS, RESULTS, IMAGES = "predictions.csv", "results.json", "images.json"


def write_predictions(folder: Path, rows: Iterable[Row]) -> list[Path]:
    """The card's `predictions.csv`: no header; a row is the image's name and its answer as JSON.

    An answer is `{"boxes": [...]}`, or `{"error": "..."}`. Names are those of the input, also where they begin with
    `=`, `+`, `-` or `@`, which spreadsheets take for formulas: programs join by them.
    """
    path = folder / PREDICTIONS
    with durable_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        for row in rows:
            writer.writerow([row.image, json.dumps(row.prediction(), ensure_ascii=False)])
        text.flush()
        text.detach()
    return [path]


def write_coco(
    folder: Path, rows: Callable[[], Iterable[Row]], labels: Iterable[str], categories: Mapping[str, int]
) -> list[Path]:
    """COCO's result format in `results.json`; what its ids mean, and why an image has none, in `images.json`.

    Both go into pycocotools: `COCO("images.json").loadRes("results.json")`.

    Args:
        rows: gives them from the first on, each time it is called.
        labels: all that occur.
        categories: ids of the input's own; other labels are numbered after them, in alphabetical order.
    """
    ids = dict(categories)
    for label in sorted(set(labels) - set(ids)):
        ids[label] = max(ids.values(), default=0) + 1
    results, images = folder / RESULTS, folder / IMAGES
    _write_array(results, "[", _results(rows(), ids), "]")
    named = json.dumps([{"id": category_id, "name": name} for name, category_id in ids.items()], ensure_ascii=False)
    _write_array(images, '{"images": [', _images(rows()), f'], "annotations": [], "categories": {named}}}')
    return [results, images]


def _results(rows: Iterable[Row], ids: Mapping[str, int]) -> Iterator[object]:
    for row in rows:
        if row.boxes is None or row.width is None or row.height is None:
            continue
        for box in Detections.from_json({"boxes": row.boxes}).boxes:
            x1, y1, x2, y2 = box.in_pixels(row.width, row.height)
            yield {
                "image_id": row.image_id,
                "category_id": ids[box.label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": box.score,
            }


def _images(rows: Iterable[Row]) -> Iterator[object]:
    for row in rows:
        image = {"id": row.image_id, "file_name": row.image, "width": row.width, "height": row.height}
        yield image if row.boxes is not None else {**image, "error": row.error}


def _write_array(path: Path, head: str, items: Iterable[object], tail: str) -> None:
    with durable_file(path) as file:
        file.write(head.encode())
        separator = b"\n"
        for item in items:
            file.write(separator + json.dumps(item, ensure_ascii=False).encode())
            separator = b",\n"
        file.write(b"\n" + tail.encode() + b"\n")
