"""One image of a store: its record as an object, and as the line of JSON that it is stored as. See `layout`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from vfnet_capture.layout import is_id, time_of

_CORNERS = ("topX", "topY", "bottomX", "bottomY")
_LONGEST_LABEL = 200
"""Characters, of what a reviewer calls an object."""
_MOST_BOXES = 1000
"""Of one image that a reviewer saves: ten times what a model answers."""

SHARE, BELOW, CLASSES, DISAGREEMENT = "share", "below", "classes", "disagreement"
"""Why an image was kept."""
ACCEPTED, LEFT_OUT, BEGUN = "accepted", "left_out", "begun"
"""What a reviewer decided; begun: nothing yet, but boxes were changed."""


class RecordError(ValueError):
    """No record of a store, or no boxes that may be saved; the message is one sentence without their contents."""


@dataclass(frozen=True, slots=True)
class FoundBox:
    """One detection. Corners are fractions of the stored image's width and height."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One object that there is to learn. Corners are fractions of the stored image's width and height."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    score: float | None = None
    """The model's own, where nobody has changed the box."""
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """What a person made of an image."""

    state: str
    """`ACCEPTED`, `LEFT_OUT` or `BEGUN`."""
    at: str
    """When, ISO 8601 in UTC."""
    by: str
    """Who says to have done it; may be empty."""


@dataclass(frozen=True, slots=True)
class CapturedImage:
    """One image of a store."""

    id: str
    ending: str
    """Of its file, without a dot; also its format."""
    width: int
    height: int
    """Of the stored pixels."""
    labels: tuple[LabelledBox, ...]
    detections: tuple[FoundBox, ...]
    """As answered."""
    request: str
    """The x-request-id of the request that it came in."""
    deployment: str
    score_threshold: float | None
    reasons: tuple[str, ...]
    certainty: float
    sha256: str
    """Of its bytes."""
    byte_count: int
    review: Review | None = None
    version: int = 0
    """How often it was changed."""
    answered_by: str | None = None
    """The deployment behind that name, as the server has it: `vfnet`, or `vfnet.2`; None: it did not say."""
    checkpoint: str | None = None
    """Of whose file this is the beginning of the SHA-256 sum, in hexadecimal; None: the server did not say."""

    @property
    def at(self) -> datetime:
        """When it was answered."""
        return time_of(self.id)

    @property
    def is_sampled(self) -> bool:
        """Whether it belongs to the fair sample of the traffic: what was kept for another reason alone does not."""
        return SHARE in self.reasons

    @property
    def is_accepted(self) -> bool:
        """Whether a person says that its labels are right."""
        return self.review is not None and self.review.state == ACCEPTED

    @property
    def is_left_out(self) -> bool:
        """Whether a person says that nothing is to be learnt from it."""
        return self.review is not None and self.review.state == LEFT_OUT

    def reviewed(self, labels: Iterable[LabelledBox], review: Review | None) -> CapturedImage:
        """With what a person made of it, as the next version."""
        return replace(self, labels=tuple(labels), review=review, version=self.version + 1)

    def to_json(self) -> dict[str, Any]:
        """The record's fields, as `layout` describes them."""
        return {
            "image_url": f"images/{self.id}.{self.ending}",
            "image_details": {"format": self.ending, "width": self.width, "height": self.height},
            "label": [label_to_json(each) for each in self.labels],
            "detections": [
                {"box": dict(zip(_CORNERS, (each.x1, each.y1, each.x2, each.y2), strict=True)), "label": each.label,
                 "score": each.score}
                for each in self.detections
            ],
            "capture": {
                "id": self.id,
                "at": self.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "request": self.request,
                "deployment": self.deployment,
                "answered_by": self.answered_by,
                "checkpoint": self.checkpoint,
                "score_threshold": self.score_threshold,
                "reasons": self.reasons,
                "certainty": round(self.certainty, 4),
                "sha256": self.sha256,
                "bytes": self.byte_count,
            },
            "review": None if self.review is None else {
                "state": self.review.state, "at": self.review.at, "by": self.review.by,
            },
            "version": self.version,
        }  # fmt: skip

    def to_line(self) -> bytes:
        """The record's file: one line of JSON."""
        return orjson.dumps(self.to_json()) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> CapturedImage:
        """Of a record's file. Raises RecordError."""
        try:
            fields = orjson.loads(line)
            capture, details, review = fields["capture"], fields["image_details"], fields["review"]
            image_id, ending = capture["id"], fields["image_url"].rpartition(".")[2]
            if not is_id(image_id) or fields["image_url"] != f"images/{image_id}.{ending}" or "/" in ending:
                raise RecordError("a record names another image than its own")
            return cls(
                image_id, ending, details["width"], details["height"],
                tuple(label_from_json(each) for each in fields["label"]), found_boxes(fields["detections"]),
                capture["request"], capture["deployment"], capture["score_threshold"], tuple(capture["reasons"]),
                capture["certainty"], capture["sha256"], capture["bytes"],
                None if review is None else Review(review["state"], review["at"], review["by"]), fields["version"],
                capture.get("answered_by"), capture.get("checkpoint"),
            )  # fmt: skip
        except RecordError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"not a record of a capture store: {type(error).__name__}") from error


def found_boxes(boxes: Iterable[Mapping[str, Any]]) -> tuple[FoundBox, ...]:
    """Of the documented box schema. Raises KeyError, TypeError."""
    return tuple(FoundBox(*_corners(each["box"]), label=each["label"], score=each["score"]) for each in boxes)


def found_in(detections: bytes) -> tuple[FoundBox, ...]:
    """The boxes of a `DETECTIONS` document. Raises RecordError: it is none."""
    try:
        return found_boxes(orjson.loads(detections)["boxes"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError("not a detections document") from error


def label_to_json(box: LabelledBox) -> dict[str, Any]:
    """One entry of AutoML's `label`."""
    entry: dict[str, Any] = {"label": box.label, **dict(zip(_CORNERS, (box.x1, box.y1, box.x2, box.y2), strict=True))}
    entry["isCrowd"] = int(box.is_crowd)
    return entry if box.score is None else entry | {"score": box.score}


def label_from_json(entry: Mapping[str, Any]) -> LabelledBox:
    """Of one entry of a record of ours. Raises KeyError, TypeError."""
    return LabelledBox(
        *_corners(entry), label=entry["label"], score=entry.get("score"),
        is_crowd=bool(entry.get("isCrowd", 0)),
    )  # fmt: skip


def _corners(entry: Mapping[str, float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (entry[corner] for corner in _CORNERS)
    return x1, y1, x2, y2


def labels_from_person(entries: object) -> tuple[LabelledBox, ...]:
    """What a person's page sends for `label`.

    Raises:
        RecordError: boxes that are none: outside the image, empty, inverted, or without a name.
    """
    if not isinstance(entries, list) or len(entries) > _MOST_BOXES:
        raise RecordError(f"label is no list of at most {_MOST_BOXES} boxes")
    return tuple(_label_from_person(entry, position) for position, entry in enumerate(entries, 1))


def _label_from_person(entry: object, position: int) -> LabelledBox:
    if not isinstance(entry, dict):
        raise RecordError(f"box {position} is no JSON object")
    numbers: list[Any] = [entry.get(corner) for corner in _CORNERS]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        raise RecordError(f"box {position} lacks one of {', '.join(_CORNERS)}, or it is no number")
    x1, y1, x2, y2 = numbers
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):  # before they are converted: JSON has integers that are no float
        raise RecordError(f"box {position} is empty or not within the image: corners lie between 0 and 1")
    label, score, crowd = entry.get("label"), entry.get("score"), entry.get("isCrowd", 0)
    if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
        raise RecordError(f"box {position} has no name of at most {_LONGEST_LABEL} printable characters")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1):
        raise RecordError(f"the score of box {position} is no number between 0 and 1")
    if crowd not in (0, 1):
        raise RecordError(f"isCrowd of box {position} is neither 0 nor 1")
    return LabelledBox(
        float(x1), float(y1), float(x2), float(y2), label.strip(), None if score is None else float(score), bool(crowd)
    )
