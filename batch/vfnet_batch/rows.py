"""The answer for one image, as every output has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What became of one image: either `boxes` or `error` is there."""

    image: str
    image_id: int
    width: int | None = None
    height: int | None = None
    """Of the stored image, in pixels; None where that cannot be told."""
    boxes: list[dict[str, Any]] | None = None
    """As the contract has them: `{"box": {"topX", ...}, "label", "score"}`."""
    error: str | None = None
    """Why there are none."""

    def to_json(self) -> dict[str, Any]:
        """One line of JSON Lines."""
        named = {"image": self.image, "image_id": self.image_id}
        if self.boxes is None:
            return {**named, "error": self.error}
        return {**named, "width": self.width, "height": self.height, "boxes": self.boxes}

    def prediction(self) -> dict[str, Any]:
        """The documented object of an image, or the reason."""
        return {"error": self.error} if self.boxes is None else {"boxes": self.boxes}


def to_json_lines(rows: Iterable[Row]) -> bytes:
    """UTF-8, one object a line."""
    return b"".join(json.dumps(row.to_json(), ensure_ascii=False).encode() + b"\n" for row in rows)


def from_json_lines(lines: Iterable[bytes]) -> Iterator[Row]:
    """What `to_json_lines` wrote."""
    for line in lines:
        yield Row(**json.loads(line))
