"""What is where in a store. A store is a folder, or everything below a URL such as `s3://bucket/prefix`.

    capture.json         {"layout": 1}: says that this is a store, and how it is laid out
    images/ID.jpg        an image, byte for byte as its caller sent it; the ending says the format that it has
    records/ID.json      what is known of it, one line: the truth. An image without a record does not count
    captured.jsonl       all records, AutoML JSONL; captured.json: the same as COCO JSON
    reviewed.jsonl       those that a person has accepted; reviewed.json: the same as COCO JSON
    .lock, .tables.lock  of a folder: held while something is added, changed or removed, and by who makes the tables

The tables (`captured.*`, `reviewed.*`) are made of the records, at most a few seconds after these; whoever wants the
newest, or one image, reads the records. Every file is written beside and renamed (an object store does that itself),
so that a reader sees the old or the new one. Files that begin with a dot are unfinished, or the lock.

ID is the time at which the image was answered, in UTC, and eight random hexadecimal digits:
`20261129T160512.123456Z-1f2e3d4c`. Sorted by name is sorted by age.

A record is a line of AutoML JSONL with three more fields:

    {"image_url": "images/ID.jpg",
     "image_details": {"format": "jpeg", "width": 499, "height": 666},     stored pixels, EXIF orientation ignored
     "label": [{"label": "can", "topX": 0.1, "topY": 0.2, "bottomX": 0.3, "bottomY": 0.4, "isCrowd": 0, "score": 0.91}],
     "detections": [{"box": {"topX": ..., "topY": ..., "bottomX": ..., "bottomY": ...}, "label": "can", "score": 0.91}],
     "capture": {"id": ID, "at": "2026-11-29T16:05:12.123456Z", "request": "the x-request-id of its request",
                 "deployment": "vfnet", "answered_by": "vfnet.2", "checkpoint": "5f0c29…", "score_threshold": null,
                 "reasons": ["share"], "certainty": 0.91, "sha256": "...", "bytes": 104857},
     "review": null, "version": 0}

`detections` is what was answered, all of it, and never changes; coordinates are fractions of width and height, as in
`/score`. `label` is what there is to learn: at first the detections that count (see `vfnet_capture.certainty`), later
what a person made of it. A box that a person drew or changed has no `score`. `reasons` says why the image was kept:
`share` (evenly sampled), `below`, `classes`, `disagreement`. Only those with `share` are a fair sample of the traffic.
`answered_by` and `checkpoint` are what the server said of its answer: the deployment behind the name, and the first 16
digits of the checkpoint's SHA-256 sum; null in older records. `score_threshold` is the caller's own, below which
nothing was answered; null: the server's. `review` is null, or
`{"state": "accepted", "at": ..., "by": ...}`, or with the state `left_out`: not to be learnt from; or `begun`: a
person has changed boxes, and not accepted them yet. `version` counts the
changes: whoever saves says which version was looked at.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

LAYOUT = 1
MARK = "capture.json"
IMAGES, RECORDS = "images/", "records/"
LOCK, TABLES_LOCK = ".lock", ".tables.lock"
CAPTURED, REVIEWED = "captured", "reviewed"
"""The tables' names, before their endings."""
JSONL, COCO = ".jsonl", ".json"
TABLES = tuple(f"{name}{ending}" for name in (CAPTURED, REVIEWED) for ending in (JSONL, COCO))

_TIME = "%Y%m%dT%H%M%S.%fZ"
_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")


def new_id(at: datetime) -> str:
    """An id for an image that was answered then."""
    return f"{at.astimezone(UTC).strftime(_TIME)}-{secrets.token_hex(4)}"


def is_id(text: str) -> bool:
    """Whether it reads as one; whatever comes from outside is looked at with this before a file is named by it."""
    return _ID.fullmatch(text) is not None


def time_of(image_id: str) -> datetime:
    """When the image was answered. Raises ValueError: it is no id."""
    return datetime.strptime(image_id.partition("-")[0], _TIME).replace(tzinfo=UTC)


def record_name(image_id: str) -> str:
    """Of the file below the store."""
    return f"{RECORDS}{image_id}.json"


def image_name(image_id: str, ending: str) -> str:
    """Of the file below the store; `ending` has no dot."""
    return f"{IMAGES}{image_id}.{ending}"
