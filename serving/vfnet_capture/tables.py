"""The tables of a store: its records as the AutoML JSONL and the COCO JSON that training and evaluation read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from vfnet_capture.captured_image import CapturedImage, RecordError
from vfnet_capture.layout import CAPTURED, COCO, JSONL, RECORDS, REVIEWED, is_id
from vfnet_capture.storage import Listed, Storage
from vfnet_capture.store import CaptureStore

_PLACES = 3
"""Digits behind the point, of COCO's pixels."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What the tables say of one image."""

    listed: Listed
    line: bytes
    """Of AutoML JSONL."""
    image: dict[str, Any]
    """COCO's, without its id."""
    boxes: tuple[dict[str, Any], ...]
    """COCO's annotations, without ids, with the class's name in `category_id`."""
    is_accepted: bool
    is_left_out: bool


class Tables:
    """The tables of one store. Records are read again only where they have changed."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._store = storage, CaptureStore(storage)
        self._rows: dict[str, _Row] = {}
        self._stamp: object = object()

    def write(self, *, anew: bool = False) -> bool:
        """Write all four where records have changed since the last time; whether they have. Raises OSError."""
        stamp = self._storage.stamp(RECORDS)
        if stamp == self._stamp and not anew:
            return False
        listing = self._storage.listing(RECORDS)
        rows: dict[str, _Row] = {}
        for name in sorted(listing):
            image_id = name.removesuffix(".json")
            if not is_id(image_id):
                continue
            known = self._rows.get(image_id)
            if known is None or known.listed != listing[name]:
                known = self._read(image_id, listing[name])
            if known is not None:
                rows[image_id] = known
        changed = anew or rows.keys() != self._rows.keys() or any(rows[each] is not self._rows[each] for each in rows)
        if changed:
            self._write(CAPTURED, [row for row in rows.values() if not row.is_left_out])
            self._write(REVIEWED, [row for row in rows.values() if row.is_accepted])
        self._rows, self._stamp = rows, stamp  # not before they are written: then the next time tries again
        return changed

    def _read(self, image_id: str, listed: Listed) -> _Row | None:
        try:
            image = self._store.find(image_id)
        except RecordError:
            return None
        return None if image is None else _row(image, listed)

    def _write(self, name: str, rows: list[_Row]) -> None:
        self._storage.write(f"{name}{JSONL}", b"".join(row.line for row in rows))
        self._storage.write(f"{name}{COCO}", orjson.dumps(_coco(rows)) + b"\n")


def write_tables(store: CaptureStore) -> None:
    """Make all tables anew. Raises OSError."""
    Tables(store.storage).write(anew=True)


def _row(image: CapturedImage, listed: Listed) -> _Row:
    record = image.to_json()
    line = orjson.dumps({name: record[name] for name in ("image_url", "image_details", "label")}) + b"\n"
    size = {"width": image.width, "height": image.height}
    boxes = []
    for box in image.labels:
        x, y = box.x1 * image.width, box.y1 * image.height
        width, height = (box.x2 - box.x1) * image.width, (box.y2 - box.y1) * image.height
        entry: dict[str, Any] = {
            "category_id": box.label,
            "bbox": [round(number, _PLACES) for number in (x, y, width, height)],
            "area": round(width * height, _PLACES),
            "iscrowd": int(box.is_crowd),
        }
        boxes.append(entry if box.score is None else entry | {"score": box.score})
    return _Row(
        listed, line, {"file_name": record["image_url"], **size}, tuple(boxes), image.is_accepted, image.is_left_out
    )


def _coco(rows: list[_Row]) -> dict[str, Any]:
    """Categories are the names found, sorted, as `vfnet finetune` takes those of JSONL."""
    names: Iterable[str] = sorted({box["category_id"] for row in rows for box in row.boxes})
    ids = {name: position for position, name in enumerate(names, 1)}
    annotations: list[dict[str, Any]] = []
    for image_id, row in enumerate(rows, 1):
        for box in row.boxes:
            own = {"id": len(annotations) + 1, "image_id": image_id, "category_id": ids[box["category_id"]]}
            annotations.append(box | own)
    return {
        "images": [{"id": image_id, **row.image} for image_id, row in enumerate(rows, 1)],
        "annotations": annotations,
        "categories": [{"id": position, "name": name} for name, position in ids.items()],
    }
