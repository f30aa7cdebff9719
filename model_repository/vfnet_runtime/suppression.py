"""How the boxes of one image are chosen: as the model was built, or as a request wants it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_DETECTIONS = 1000
"""That a request may ask for, unless the model was built to give more: of a hundred thousand, most would be guesses."""
_SHOWN = 60
"""Characters of a caller's text in an answer."""
_MOST_COMPARED = 500
"""Characters of it that are compared with the names of classes."""
_LIKELY = 0.6
"""`difflib`'s own measure of how alike two names must be to be confused."""


class OptionError(ValueError):
    """The caller's fault; the message is one sentence for the caller, which begins with the option's name."""


@dataclass(frozen=True)
class Suppression:
    """The settings of `vfnet_runtime.answers.detect`."""

    iou_threshold: float
    """Of two boxes of a class whose IoU is greater, the better one stays."""
    max_per_img: int
    """At most so many detections."""
    score_threshold: float = 0.0
    """Only what scores higher; the candidates' own threshold is already applied."""
    is_wanted: NDArray[np.bool_] | None = None
    """bool [classes], which classes there are to be detections of; None: all."""

    def changed(
        self,
        names: ClassNames,
        *,
        score_threshold: float | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
    ) -> Suppression:
        """As one request wants it; None: as it is.

        Raises:
            OptionError: one of these makes no sense to this model.
        """
        changes: dict[str, Any] = {}
        if score_threshold is not None:
            changes["score_threshold"] = _fraction("SCORE_THRESHOLD", score_threshold)
        if classes is not None:
            changes["is_wanted"] = names.chosen(classes)
        if max_detections is not None:
            most = max(MOST_DETECTIONS, self.max_per_img)
            if not 1 <= max_detections <= most:
                raise OptionError(f"MAX_DETECTIONS must be within 1..{most}, not {max_detections}")
            changes["max_per_img"] = max_detections
        if nms_iou is not None:
            changes["iou_threshold"] = _fraction("NMS_IOU", nms_iou)
        return replace(self, **changes) if changes else self


def _fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:  # NaN neither
        raise OptionError(f"{name} must be within 0..1, not {value}")
    return value


class ClassNames:
    """The classes of a model, by what callers call them.

    Args:
        names: in the order of the labels; a name may be there several times, and then means all of these.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._labels: dict[str, list[int]] = {}
        for label, name in enumerate(names):
            self._labels.setdefault(name, []).append(label)

    def check_number(self, entries: int) -> None:
        """Raise OptionError unless so many may be chosen."""
        if not 0 < entries <= len(self._names):
            raise OptionError(
                f"CLASSES must have 1 to {len(self._names)} entries, as many as the model has classes, not {entries}"
            )

    def chosen(self, entries: Sequence[str]) -> NDArray[np.bool_]:
        """bool [classes], which ones are meant: each entry is a name or, where none is called so, a label.

        Raises:
            OptionError: there is no such class, or nothing is chosen.
        """
        self.check_number(len(entries))
        is_chosen = np.zeros(len(self._names), np.bool_)
        for entry in entries:
            is_chosen[self._labels_of(entry)] = True
        return is_chosen

    def _labels_of(self, entry: str) -> list[int]:
        labels = self._labels.get(entry)
        if labels is not None:
            return labels
        if entry.isascii() and entry.isdecimal() and len(entry) < 10 and int(entry) < len(self._names):
            return [int(entry)]
        raise OptionError(f"CLASSES has {_shown(entry)}, which is no class of this model; {self._advice(entry)}")

    def _advice(self, entry: str) -> str:
        if entry.isascii() and entry.isdecimal():
            return f"its classes are numbered from 0 to {len(self._names) - 1}"
        wanted = entry[:_MOST_COMPARED].strip().casefold()  # once: it may be a request's megabytes
        alike = [name for name in self._names if name.strip().casefold() == wanted]
        alike = alike or difflib.get_close_matches(entry[:_SHOWN], self._names, 1, _LIKELY)
        if alike:
            return f"did you mean {_shown(alike[0])}?"
        first = ", ".join(_shown(name) for name in self._names[:5])
        rest = len(self._names) - 5
        return f"there are {first}" + (f" and {rest} more, as its labels.txt says" if rest > 0 else "")


def _shown(text: str) -> str:
    """Quoted, printable and short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
