"""Removes images from a store for good, as far as the store goes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from vfnet_capture.captured_image import CapturedImage
from vfnet_capture.layout import IMAGES, RECORDS, is_id, time_of
from vfnet_capture.store import CaptureStore
from vfnet_capture.tables import write_tables


@dataclass(frozen=True)
class Criteria:
    """Which images: those that any of these names, or all of a time."""

    ids: Collection[str] = ()
    requests: Collection[str] = ()
    """The x-request-id of the requests that they came in."""
    digests: Collection[str] = ()
    """SHA-256 of their bytes, in small hexadecimal digits."""
    since: datetime | None = None
    until: datetime | None = None
    everything: bool = False

    @property
    def needs_records(self) -> bool:
        """Whether an id alone does not tell."""
        return bool(self.requests or self.digests)

    def match_id(self, image_id: str) -> bool:
        """Whether an image is meant, by its id."""
        if self.everything or image_id in self.ids:
            return True
        if self.since is None and self.until is None:
            return False
        at = time_of(image_id)
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def match(self, image: CapturedImage) -> bool:
        """Whether an image is meant, by its record."""
        return image.request in self.requests or image.sha256 in self.digests


@dataclass(frozen=True)
class Forgotten:
    """What was removed."""

    images: int
    bytes: int
    """Of images and records."""
    left: int
    """Images that are still there."""


def forget(store: CaptureStore, criteria: Criteria) -> Forgotten:
    """Remove images, their records and their rows in the tables; also what killed processes left of any image.

    The store is locked meanwhile, so that nobody makes a table of what is being removed.

    Raises:
        OSError: something cannot be removed; what was removed until then is.
    """
    with store.locked():
        storage = store.storage
        for folder in (IMAGES, RECORDS):
            storage.remove_unfinished(folder)
        pictures = {name.rpartition(".")[0]: (name, each.size) for name, each in storage.listing(IMAGES).items()}
        records = {name.removesuffix(".json"): each.size for name, each in storage.listing(RECORDS).items()}
        removed = size = 0
        for image_id in sorted(filter(is_id, pictures.keys() | records.keys())):
            has_record = image_id in records
            # Half an image is nobody's, and cannot be found by what its record would say.
            is_meant = not has_record or image_id not in pictures or criteria.match_id(image_id)
            if not is_meant and criteria.needs_records:
                image = store.find(image_id)
                is_meant = image is not None and criteria.match(image)
            if is_meant:
                name, picture_size = pictures.get(image_id, ("", 0))
                store.remove(image_id, name.rpartition(".")[2])
                removed += has_record
                size += picture_size + records.get(image_id, 0)
        write_tables(store)
        left = len(store.ids())
    return Forgotten(removed, size, left)
