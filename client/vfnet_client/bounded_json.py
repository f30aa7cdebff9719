"""JSON that somebody else wrote, refused before it takes more memory than what it should be."""

from __future__ import annotations

import json

MOST_CONTAINERS = 30_000_000
"""Lists and objects, each of which takes up to a hundred bytes of memory. The largest of COCO's own annotations,
instances_train2017.json, has 4 million."""
MOST_VALUES = 200_000_000
"""COCO's own largest has about 70 million, most of them corners of polygons."""


def parse_json(text: str | bytes, most_containers: int = MOST_CONTAINERS, most_values: int = MOST_VALUES) -> object:
    """The value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Args:
        most_containers: lists and objects. What stands in strings counts too, which errs on the safe side.
        most_values: of all kinds.

    Raises:
        ValueError: it is no JSON, is nested too deeply, has a number of too many digits, or has more values.
    """
    if isinstance(text, bytes):
        containers, commas = text.count(b"[") + text.count(b"{"), text.count(b",")
    else:
        containers, commas = text.count("[") + text.count("{"), text.count(",")
    if containers > most_containers or commas + containers > most_values:
        raise ValueError(f"it has more than {most_containers:,} lists and objects, or {most_values:,} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
