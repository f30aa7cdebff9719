"""What one request wants otherwise than its model was built: which classes, how many boxes, from which score on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, NamedTuple, cast

from vfnet_client.safe_text import printable_line

MOST_CLASSES = 5_000
"""Of a network that is served."""
_LONGEST_CLASS, _MOST_SHOWN = 500, 60
"""Characters of a class's name, and of what is none in a sentence about it."""
_INT32_MAX = 2**31 - 1


class OptionTensor(NamedTuple):
    """An option as an input of the ensemble, of one dimension."""

    name: str
    datatype: str
    """KServe's: `BYTES`, whose values are texts, `FP32` or `INT32`."""
    values: list[Any]


@dataclass(frozen=True, slots=True)
class DetectionOptions:
    """Of one image's detections. None: the model's own. Made by `chosen`, which checks them.

    Models that were built before these existed refuse all but `score_threshold`.
    """

    score_threshold: float | None = None
    """Only boxes that score higher, 0 to 1; the model's own threshold stays."""
    classes: tuple[str, ...] | None = None
    """Only of these: a class's name or, where none is called so, its number. No other class takes a box's place."""
    max_detections: int | None = None
    """At most so many boxes."""
    nms_iou: float | None = None
    """Of two boxes of a class that overlap more, the better one stays, 0 to 1."""

    @classmethod
    def chosen(
        cls,
        *,
        score_threshold: float | None = None,
        classes: Sequence[str | int] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
    ) -> DetectionOptions:
        """What a caller gives, checked as far as it can be without the model.

        Raises:
            ValueError: one of them makes no sense; the message begins with its name.
        """
        given = {
            "score_threshold": score_threshold, "classes": classes, "max_detections": max_detections, "nms_iou": nms_iou
        }  # fmt: skip
        checked = {name: check_option(name, value) for name, value in given.items() if value is not None}
        return cls(**checked) if checked else NO_OPTIONS

    @property
    def restricts(self) -> bool:
        """Whether boxes may be missing or others that the model's own settings would have given above a threshold."""
        return any(option is not None for option in (self.classes, self.max_detections, self.nms_iou))

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def __str__(self) -> str:
        """What is given, in the words of the command line, such as `nms-iou 0.5, max-detections 300`."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(
            f"{name.replace('_', '-')} {', '.join(value) if isinstance(value, tuple) else f'{value:g}'}"
            for name, value in given
            if value is not None
        )

    def tensors(self) -> list[OptionTensor]:
        """Those that are given, as the ensemble's optional inputs."""
        given = (
            (SCORE_THRESHOLD, "FP32", self.score_threshold),
            (CLASSES, "BYTES", self.classes),
            (MAX_DETECTIONS, "INT32", self.max_detections),
            (NMS_IOU, "FP32", self.nms_iou),
        )
        return [
            OptionTensor(name, datatype, list(value) if isinstance(value, tuple) else [value])
            for name, datatype, value in given
            if value is not None
        ]


SCORE_THRESHOLD, CLASSES, MAX_DETECTIONS, NMS_IOU = "SCORE_THRESHOLD", "CLASSES", "MAX_DETECTIONS", "NMS_IOU"
INPUT_NAMES = (SCORE_THRESHOLD, CLASSES, MAX_DETECTIONS, NMS_IOU)
"""The options as inputs of the ensemble."""
LATER_INPUTS = INPUT_NAMES[1:]
"""Those that the first models do not have."""
NO_OPTIONS = DetectionOptions()


def check_option(option: str, value: object, shown: str | None = None) -> Any:
    """The value of one field of `DetectionOptions`.

    Args:
        shown: what the caller calls it; None: as the field is called.

    Raises:
        ValueError: it makes no sense; the message begins with what it is called.
    """
    return _CHECKS[option](shown or option, value)


def _fraction(name: str, value: object) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= cast("float", value) <= 1:  # NaN neither
        raise ValueError(f"{name} must be a number from 0 to 1")
    return float(cast("float", value))


def _count(name: str, value: object) -> int:
    number = _whole_number(value)
    if number is None or not 1 <= number <= _INT32_MAX:
        raise ValueError(f"{name} must be a whole number from 1 on")
    return number


def _whole_number(value: object) -> int | None:
    """JSON has 20.0 as well as 20, and NumPy has numbers of its own."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = int(cast("float", value))
    except (ValueError, OverflowError):  # NaN and infinity
        return None
    return number if number == value else None


def _classes(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of class names or numbers")
    entries = list(value)
    if not entries:
        raise ValueError(f"{name} must name at least one class; leave it out for all")
    if len(entries) > MOST_CLASSES:
        raise ValueError(f"{name} has {len(entries)} entries; no model has more than {MOST_CLASSES} classes")
    return tuple(dict.fromkeys(_class(name, entry) for entry in entries))


def _class(name: str, entry: object) -> str:
    number = _whole_number(entry)
    if number is not None and 0 <= number <= _INT32_MAX:
        return str(number)
    if not isinstance(entry, str) or not entry or len(entry) > _LONGEST_CLASS or not _is_text(entry):
        raise ValueError(f"{name} must be names or numbers from 0 on, and {_shown(entry)} is neither")
    return entry


def _shown(entry: object) -> str:
    """In a sentence. Of a long text no more than its beginning is written, which may be a request's megabytes."""
    if isinstance(entry, str):
        return printable_line(repr(entry[:_MOST_SHOWN]), _MOST_SHOWN)
    if isinstance(entry, int) and entry.bit_length() > _MOST_SHOWN:
        return "a number of very many digits"
    return repr(entry) if isinstance(entry, int | float) or entry is None else "a list"


def _is_text(text: str) -> bool:
    """A lone surrogate, which JSON can hold, is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "score_threshold": _fraction,
    "classes": _classes,
    "max_detections": _count,
    "nms_iou": _fraction,
}
