"""JSON that somebody else wrote, refused before it takes more memory than annotations do."""

from __future__ import annotations

import json

MOST_BYTES = 2 << 30
"""Of a file. COCO's own largest, instances_train2017.json, has 0.45 GB."""
LONGEST_LINE = 64 << 20
"""Characters of a line of JSONL."""
_MOST_VALUES = 200_000_000
"""COCO's own largest has about 70 million, most of them corners of polygons."""
_MOST_CONTAINERS = 30_000_000
"""Lists and objects, each of which takes up to a hundred bytes of memory. COCO's own largest has 4 million."""


def parse_json(text: str) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, is nested too deeply, or has more values than could be held.
    """
    containers = text.count("[") + text.count("{")
    if containers > _MOST_CONTAINERS or text.count(",") + containers > _MOST_VALUES:
        raise ValueError(f"it has more than {_MOST_CONTAINERS:,} lists and objects, or {_MOST_VALUES:,} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
