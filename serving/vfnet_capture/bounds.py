"""How much a store may hold, and what goes when there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vfnet_capture.layout import IMAGES, RECORDS, is_id, time_of
from vfnet_capture.settings import CaptureSettings
from vfnet_capture.store import CaptureStore

BYTES, COUNT, AGE = "bytes", "count", "age"
"""Why an image was removed."""
_ABANDONED_AFTER = timedelta(minutes=10)
"""An image without a record, or the reverse, that is older is what a killed process left."""


@dataclass
class Held:
    """One image of a store."""

    ending: str | None = None
    """Of its file; None: it has none."""
    size: int = 0
    """Bytes of the image and its record."""
    has_record: bool = False


class BoundedStore:
    """A store that holds no more than its settings allow. All is called by who holds the store's lock.

    Reviewed images count like the others, and are not removed to make room: they are a person's work. Only their age
    removes them, because an operator promises by it how long pictures are kept.
    """

    def __init__(self, store: CaptureStore, settings: CaptureSettings) -> None:
        self._store, self._settings = store, settings
        self._max_age = timedelta(days=settings.max_age)
        self._held: dict[str, Held] = {}
        self._reviewed: set[str] = set()
        """As far as was looked at: whoever is in the way of another."""
        self._stamp: object = object()

    @property
    def count(self) -> int:
        """Images."""
        return len(self._held)

    @property
    def bytes(self) -> int:
        """Of images and records."""
        return sum(each.size for each in self._held.values())

    def look(self, *, anew: bool = False) -> bool:
        """Learn what others have added and removed; False where nobody has. Raises OSError."""
        storage = self._store.storage
        stamp = storage.stamp(IMAGES)
        if stamp == self._stamp and not anew:
            return False
        held: dict[str, Held] = {}
        for name, listed in storage.listing(IMAGES).items():
            image_id, _, ending = name.rpartition(".")
            if is_id(image_id):
                held[image_id] = Held(ending, listed.size)
        for name, listed in storage.listing(RECORDS).items():
            image_id = name.removesuffix(".json")
            if is_id(image_id):
                each = held.setdefault(image_id, Held())
                each.size += listed.size
                each.has_record = True
        self._held = dict(sorted(held.items()))
        self._reviewed &= self._held.keys()
        self._stamp = stamp
        return True

    def added(self, image_id: str, ending: str, size: int) -> None:
        """An image was added by who calls."""
        self._held[image_id] = Held(ending, size, has_record=True)
        self._stamp = self._store.storage.stamp(IMAGES)

    def remove_old(self) -> int:
        """Remove what is too old, and what killed processes left; how many images. Raises OSError."""
        now = datetime.now(UTC)
        removed = 0
        for folder in (IMAGES, RECORDS):
            self._store.storage.remove_unfinished(folder)
        for image_id, held in list(self._held.items()):
            age = now - time_of(image_id)
            if age > self._max_age:
                self._remove(image_id, held)
                removed += 1
            elif (held.ending is None or not held.has_record) and age > _ABANDONED_AFTER:
                self._remove(image_id, held)
        return removed

    def make_room(self, size: int) -> dict[str, int] | None:
        """Remove the oldest until an image and record of so many bytes find room.

        Returns:
            How many images were removed, by reason; None: there is no room, because what is there is reviewed.

        Raises:
            OSError: something cannot be removed.
        """
        removed: dict[str, int] = {}
        oldest = self._unreviewed()
        total = self.bytes
        while (
            reason := COUNT if self.count + 1 > self._settings.max_count
            else BYTES if total + size > self._settings.max_bytes
            else None
        ) is not None:  # fmt: skip
            image_id = next(oldest, None)
            if image_id is None or size > self._settings.max_bytes:
                return None
            total -= self._held[image_id].size
            self._remove(image_id, self._held[image_id])
            removed[reason] = removed.get(reason, 0) + 1
        return removed

    def _unreviewed(self) -> Iterator[str]:
        """Oldest first; a record is read when its image is about to go."""
        for image_id in list(self._held):
            if image_id in self._reviewed:
                continue
            image = self._store.find(image_id)
            if image is not None and image.review is not None:
                self._reviewed.add(image_id)
            else:
                yield image_id

    def _remove(self, image_id: str, held: Held) -> None:
        self._store.remove(image_id, held.ending or "")
        self._held.pop(image_id, None)
        self._stamp = self._store.storage.stamp(IMAGES)
