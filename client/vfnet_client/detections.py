"""What was found in one image, as typed records and as the contract's JSON; and what became of one image of many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vfnet_client.bounded_json import parse_json
from vfnet_client.exceptions import InferenceError, VFNetClientError
from vfnet_client.safe_text import printable_line

if TYPE_CHECKING:  # neither is imported before somebody asks for arrays: a command starts in a tenth of a second
    import numpy as np
    import numpy.typing as npt
    import supervision as sv

_MOST_CONTAINERS = 1_000_000
"""Lists and objects in one answer; a network keeps 100 boxes, or some thousands."""
_LONGEST_LABEL = 500
_LONGEST_REASON = 200


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

        Labels become printable lines, whoever answers.

        Raises:
            ValueError: it is something else; also where a number is none, or not finite.
        """
        try:
            if not isinstance(document, str | bytes | Mapping):
                raise TypeError(f"it is {type(document).__name__}")
            parsed: Any = document
            if not isinstance(document, Mapping):
                parsed = parse_json(document, _MOST_CONTAINERS, 8 * _MOST_CONTAINERS)
            return cls([_box_from_json(entry) for entry in parsed["boxes"]])
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a detections document: {error!r}"[:_LONGEST_REASON]) from error

    def to_json(self) -> dict[str, Any]:
        """`{"boxes": [...]}`, keys in the contract's order."""
        return {"boxes": [_box_to_json(box) for box in self.boxes]}

    def to_numpy(self, size: tuple[int, int] | None = None, names: Sequence[str] | None = None) -> DetectionArrays:
        """As arrays.

        Args:
            size: width and height of the stored image, for corners in its pixels; None: fractions.
            names: all class names in label order, so that an index means the same for every image. None: the names of
                this image, sorted.

        Raises:
            ValueError: a box bears a name that is not in `names`.
        """
        import numpy as np

        known = tuple(sorted({box.label for box in self.boxes}) if names is None else names)
        index_of = {name: index for index, name in enumerate(known)}
        if strange := next((box.label for box in self.boxes if box.label not in index_of), None):
            raise ValueError(f"{strange!r} was detected and is none of the names given: {', '.join(known)}")
        width, height = (1, 1) if size is None else size
        return DetectionArrays(
            np.array([box.in_pixels(width, height) for box in self.boxes], np.float32).reshape(-1, 4),
            np.array([box.score for box in self.boxes], np.float32),
            np.array([index_of[box.label] for box in self.boxes], np.int64),
            known,
        )

    def to_supervision(self, size: tuple[int, int], names: Sequence[str] | None = None) -> sv.Detections:
        """As Roboflow's `supervision` has them: `xyxy` in pixels, `confidence`, `class_id`, and `class_name` in `data`.

        Args:
            size: width and height of the stored image.
            names: as of `to_numpy`.

        Raises:
            ModuleNotFoundError: the package is not installed; this project does not ask for it.
            ValueError: as of `to_numpy`.
        """
        import numpy as np

        try:
            import supervision
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "to_supervision() needs the package supervision: pip install supervision", name=error.name
            ) from error
        arrays = self.to_numpy(size, names)
        return supervision.Detections(
            xyxy=arrays.boxes,
            confidence=arrays.scores,
            class_id=arrays.labels,
            data={"class_name": np.array([box.label for box in self.boxes], dtype=str)},
        )


@dataclass(frozen=True, eq=False)
class DetectionArrays:
    """The boxes of one image as arrays, in the order of the answer."""

    boxes: npt.NDArray[np.float32]
    """[n, 4] x1 y1 x2 y2: fractions of the stored image's width and height, or pixels of it."""
    scores: npt.NDArray[np.float32]
    """[n]"""
    labels: npt.NDArray[np.int64]
    """[n], indices into `names`."""
    names: tuple[str, ...]
    """Class names."""


@dataclass(frozen=True)
class ImageResult:
    """What became of one image of many: either `detections` or `error` is there."""

    position: int
    detections: Detections | None = None
    error: VFNetClientError | None = None
    image: bytes | None = None
    """The encoded bytes that were sent; None where there were none to send."""
    tiles: int = 0
    """In which it was detected, beside the image as a whole."""

    def result(self) -> Detections:
        """The detections; raises the error instead where there is one."""
        if self.detections is None:
            raise self.error or InferenceError("no outcome")
        return self.detections


def typed(answer: bytes) -> Detections:
    """The server's `DETECTIONS` of one image.

    Raises:
        InferenceError: it is no such thing.
    """
    try:
        return Detections.from_json(answer)
    except ValueError as error:
        raise InferenceError(f"the server's answer is not the documented JSON: {error}") from error


def _box_from_json(entry: Mapping[str, Any]) -> DetectedBox:
    box, label = entry["box"], entry["label"]
    x1, y1, x2, y2 = (float(box[corner]) for corner in ("topX", "topY", "bottomX", "bottomY"))
    score = float(entry["score"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))):
        raise ValueError("not a detections document: a coordinate or a score is not finite")
    if not isinstance(label, str):
        raise TypeError("a label is no text")
    return DetectedBox(x1, y1, x2, y2, printable_line(label, _LONGEST_LABEL), score)


def _box_to_json(box: DetectedBox) -> dict[str, Any]:
    corners = {"topX": box.top_x, "topY": box.top_y, "bottomX": box.bottom_x, "bottomY": box.bottom_y}
    return {"box": corners, "label": box.label, "score": box.score}
