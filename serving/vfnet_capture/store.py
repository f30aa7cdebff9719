"""A store as a whole: read, added to, changed and forgotten from. What is in it, `layout` says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import orjson

from vfnet_capture.captured_image import CapturedImage, RecordError
from vfnet_capture.layout import LAYOUT, MARK, RECORDS, image_name, is_id, record_name
from vfnet_capture.storage import Storage, storage_at
from vfnet_client.exceptions import CommandError


class ChangedError(Exception):
    """Another has changed the image since: nothing was saved. `image` is how it is now."""

    def __init__(self, image: CapturedImage) -> None:
        super().__init__(f"it was changed by another since: version {image.version} is there now")
        self.image = image


class CaptureStore:
    """Images and records. Whoever changes the store holds `locked()`, but for `save`, which does so itself."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @property
    def url(self) -> str:
        """The place as a person wrote it."""
        return self.storage.url

    def locked(self) -> AbstractContextManager[None]:
        """Keep others of this machine from changing it."""
        return self.storage.locked()

    def check(self) -> None:
        """Raise CommandError: it is no store, or of a later layout, or cannot be read."""
        try:
            mark = orjson.loads(self.storage.read(MARK))
            layout = mark["layout"]
        except FileNotFoundError:
            raise CommandError(
                f"{self.url} is no capture store: it has no {MARK}, which vfnet gateway --capture writes when it starts"
            ) from None
        except OSError as error:
            raise CommandError(f"cannot read {self.url}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError):
            layout = None
        if layout != LAYOUT:
            raise CommandError(f"{self.url} is a capture store of layout {layout}; this version reads layout {LAYOUT}")

    def ids(self) -> list[str]:
        """Of all images, oldest first."""
        names = self.storage.listing(RECORDS)
        return sorted(name.removesuffix(".json") for name in names if is_id(name.removesuffix(".json")))

    def images(self) -> Iterator[CapturedImage]:
        """All, oldest first. One that is removed meanwhile, or whose record is damaged, is passed over."""
        for image_id in self.ids():
            image = self.find(image_id)
            if image is not None:
                yield image

    def find(self, image_id: str) -> CapturedImage | None:
        """One image; None where there is none of that id, or its record is damaged. Raises OSError."""
        if not is_id(image_id):
            return None
        try:
            return CapturedImage.from_line(self.storage.read(record_name(image_id)))
        except (FileNotFoundError, RecordError):
            return None

    def picture(self, image: CapturedImage) -> bytes:
        """The image as its caller sent it. Raises OSError, FileNotFoundError where it was removed meanwhile."""
        return self.storage.read(image_name(image.id, image.ending))

    def add(self, image: CapturedImage, picture: bytes) -> None:
        """Write an image and its record. Raises OSError: nothing is left of it, as far as that can be undone."""
        name = image_name(image.id, image.ending)
        try:
            self.storage.write(name, picture)
            self.storage.write(record_name(image.id), image.to_line())
        except OSError:
            self.storage.remove(name)
            raise

    def mark(self) -> None:
        """Say that it is a store, where nothing does. Raises OSError."""
        try:
            self.storage.read(MARK)
        except FileNotFoundError:
            self.storage.write(MARK, orjson.dumps({"layout": LAYOUT}) + b"\n")

    def save(self, image: CapturedImage) -> None:
        """Write the next version of an image over the one before it; it is on the disk when this returns.

        Raises:
            FileNotFoundError: it was removed.
            ChangedError: the version that is there is another.
            OSError: it cannot be written.
        """
        with self.locked():
            now = self.find(image.id)
            if now is None:
                raise FileNotFoundError(image.id)
            if now.version + 1 != image.version:
                raise ChangedError(now)
            self.storage.write(record_name(image.id), image.to_line(), durable=True)

    def remove(self, image_id: str, ending: str) -> None:
        """Remove an image and its record. Raises OSError."""
        self.storage.remove(record_name(image_id))  # first: an image without a record does not count
        self.storage.remove(image_name(image_id, ending))


def open_store(place: str, *, new: bool = False) -> CaptureStore:
    """The store at a folder's path or a URL.

    Args:
        new: it may be one that is yet to be made.

    Raises:
        CommandError: there is none, or it cannot be opened.
    """
    store = CaptureStore(storage_at(place))
    if not new:
        store.check()
    return store
