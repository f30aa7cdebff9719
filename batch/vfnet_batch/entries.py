"""One image of the input: what it is called, and where its bytes are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from vfnet_client.safe_text import printable_line, shown_reference

_LONGEST_NAME = 65536
"""Characters: no shorter than a line of a list."""


class Cell(NamedTuple):
    """An image that stands in a CSV file itself, as base64."""

    start: int
    end: int
    """Bytes of the file that hold the record."""
    column: int
    delimiter: str
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Entry:
    """One image of the input."""

    name: str
    """What its row is called; the file's name may hold bytes that are no text."""
    location: str
    """A path or a URL; with `cell`, of the CSV file."""
    image_id: int
    """COCO's where the input has one, else its position from 1 on."""
    cell: Cell | None = None
    problem: str | None = None
    """Why there is nothing to read."""

    @property
    def printable_name(self) -> str:
        """The name as one line of Unicode text that any format can hold; of a URL without its secrets."""
        return printable_line(shown_reference(self.name), _LONGEST_NAME)


def to_line(
    name: str,
    *,
    location: str | None = None,
    image_id: int | None = None,
    cell: Cell | None = None,
    problem: str | None = None,
) -> str:
    """The line of `inputs.jsonl`: the bare name where the rest follows from it."""
    more = {"location": location, "image_id": image_id, "cell": cell, "problem": problem}
    given = {key: value for key, value in more.items() if value is not None}
    return json.dumps({"name": name, **given} if given else name) + "\n"


def has_secrets(line: str) -> bool:
    """Whether a line of `to_line` holds a URL that may be signed, or has a password in it."""
    return "://" in line and ("?" in line or "@" in line) and line != without_secrets(line)


def without_secrets(line: str) -> str:
    """The line as a file may hold it."""
    value = json.loads(line)
    if isinstance(value, str):
        return json.dumps(shown_reference(value)) + "\n"
    shown = {key: shown_reference(each) if key in ("name", "location") else each for key, each in value.items()}
    return json.dumps(shown) + "\n"


def from_line(line: str, position: int, root: str) -> Entry:
    """The entry at a position, counted from 0.

    Args:
        root: what the location begins with where the line does not give one; ends with its separator.
    """
    value = json.loads(line)
    fields: dict[str, Any] = {"name": value} if isinstance(value, str) else value
    cell = fields.get("cell")
    name = fields["name"]
    return Entry(
        name,
        fields.get("location", root + name),
        fields.get("image_id", position + 1),
        None if cell is None else Cell(*cell),
        fields.get("problem"),
    )
