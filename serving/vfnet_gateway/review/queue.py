"""What is to be reviewed, in which order. Records are read again only where they have changed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vfnet_capture.captured_image import ACCEPTED, LEFT_OUT
from vfnet_capture.layout import RECORDS, is_id
from vfnet_capture.storage import Listed
from vfnet_capture.store import CaptureStore


@dataclass(frozen=True, slots=True)
class _Summary:
    id: str
    certainty: float
    boxes: int
    reasons: tuple[str, ...]
    state: str | None
    labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "certainty": round(self.certainty, 4), "boxes": self.boxes, "reasons": self.reasons,
                "state": self.state}  # fmt: skip


@dataclass(frozen=True)
class Queue:
    """As it is at one moment."""

    summaries: Sequence[_Summary]
    """The least certain first."""
    classes: Sequence[str]
    """The model's own, and what people have added."""

    def listing(self, state: str, limit: int) -> dict[str, Any]:
        """What `/review/images` answers."""
        chosen = [each for each in self.summaries if _is_in(state, each.state)]
        counts = Counter("open" if _is_in("open", each.state) else str(each.state) for each in self.summaries)
        return {
            "images": [each.to_json() for each in chosen[:limit]],
            "counts": {name: counts[name] for name in ("open", ACCEPTED, LEFT_OUT)},
            "classes": self.classes,
        }


class ReviewQueue:
    """The queue of one store. Called by several threads."""

    def __init__(self, store: CaptureStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Listed, _Summary]] = {}

    def look(self, classes: Sequence[str]) -> Queue:
        """How it is now. Raises OSError."""
        with self._lock:
            known: dict[str, tuple[Listed, _Summary]] = {}
            for name, listed in self._store.storage.listing(RECORDS).items():
                image_id = name.removesuffix(".json")
                entry = self._known.get(image_id)
                if entry is None or entry[0] != listed:
                    summary = self._summary(image_id) if is_id(image_id) else None
                    entry = None if summary is None else (listed, summary)
                if entry is not None:
                    known[image_id] = entry
            self._known = known
        summaries = sorted((summary for _, summary in known.values()), key=lambda each: (each.certainty, each.id))
        return Queue(summaries, _all_classes(classes, summaries))

    def _summary(self, image_id: str) -> _Summary | None:
        image = self._store.find(image_id)
        if image is None:
            return None
        state = None if image.review is None else image.review.state
        names = tuple({box.label for box in image.labels} | {box.label for box in image.detections})
        return _Summary(image.id, image.certainty, len(image.labels), image.reasons, state, names)


def _is_in(wanted: str, state: str | None) -> bool:
    return wanted in ("all", state) or (wanted == "open" and state not in (ACCEPTED, LEFT_OUT))


def _all_classes(classes: Sequence[str], summaries: Iterable[_Summary]) -> Sequence[str]:
    more = {name for each in summaries for name in each.labels} - set(classes)
    return [*classes, *sorted(more)]
