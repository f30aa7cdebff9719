"""Which answered images are kept."""

from __future__ import annotations

import random

from vfnet_capture.captured_image import BELOW, CLASSES, SHARE, RecordError, found_in
from vfnet_capture.certainty import certainty, counting
from vfnet_capture.settings import CaptureSettings


class Selection:
    """The rules of one gateway."""

    def __init__(self, settings: CaptureSettings) -> None:
        self._share, self._below = settings.share / 100, settings.below
        self._classes = frozenset(settings.classes)

    def reasons(self, detections: bytes) -> tuple[str, ...]:
        """Why an image is kept that was answered with this `DETECTIONS`; empty: it is not.

        An answer is only looked into where a rule needs it: that takes 0.1 ms of a gateway's time.
        """
        sampled = (SHARE,) if random.random() < self._share else ()
        if self._below is None and not self._classes:
            return sampled
        try:
            found = found_in(detections)
        except RecordError:  # not what a model answers; its caller is going to find out
            return ()
        reasons = list(sampled)
        if self._below is not None and certainty(found) < self._below:
            reasons.append(BELOW)
        if self._classes and any(box.label in self._classes for box in counting(found)):
            reasons.append(CLASSES)
        return tuple(reasons)
