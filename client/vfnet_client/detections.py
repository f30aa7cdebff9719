"""What was found in one image, as typed records and as the contract's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DetectedBox:
    """One object. Corners are fractions of the stored image's width and height, 0 at the top left."""

    top_x: float
    top_y: float
    bottom_x: float
    bottom_y: float
    label: str
    score: float

    def in_pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) in the pixels of an image of this size."""
        return self.top_x * width, self.top_y * height, self.bottom_x * width, self.bottom_y * height


@dataclass(frozen=True)
class Detections:
    """All boxes of one image, in the server's order: by class index, then falling score."""

    boxes: list[DetectedBox]

    @classmethod
    def from_json(cls, document: str | bytes | Mapping[str, Any]) -> Detections:
        """From `{"boxes": [...]}`, as text or already parsed.

        Raises:
            ValueError: it is something else.
        """
        try:
            parsed = document if isinstance(document, Mapping) else json.loads(document)
            return cls([_box_from_json(entry) for entry in parsed["boxes"]])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a detections document: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """`{"boxes": [...]}`, keys in the contract's order."""
        return {"boxes": [_box_to_json(box) for box in self.boxes]}


def _box_from_json(entry: Mapping[str, Any]) -> DetectedBox:
    box = entry["box"]
    return DetectedBox(
        float(box["topX"]),
        float(box["topY"]),
        float(box["bottomX"]),
        float(box["bottomY"]),
        str(entry["label"]),
        float(entry["score"]),
    )


def _box_to_json(box: DetectedBox) -> dict[str, Any]:
    corners = {"topX": box.top_x, "topY": box.top_y, "bottomX": box.bottom_x, "bottomY": box.bottom_y}
    return {"box": corners, "label": box.label, "score": box.score}
