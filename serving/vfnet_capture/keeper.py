"""`python -m vfnet_capture.keeper DESCRIPTOR`: the process that writes a store, in nobody's way.

A process and not a thread: what it computes would hold up the gateway's event loop, and what it writes may hang. It
runs at the lowest priority, so on a machine that is busy it is late, and the gateway drops images instead of waiting.
It ends when the pipe does, that is with its gateway.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, BinaryIO

import orjson

from vfnet_capture.bounds import AGE, BoundedStore
from vfnet_capture.captured_image import CapturedImage, FoundBox, LabelledBox, RecordError, found_in
from vfnet_capture.certainty import certainty, counting
from vfnet_capture.layout import TABLES_LOCK, new_id
from vfnet_capture.messages import (
    DISK_FULL,
    DROPPED,
    HOLDS,
    KEPT,
    LENGTHS,
    NO_ROOM,
    REMOVED,
    TROUBLE,
    UNREADABLE,
    UNWRITABLE,
    WELL,
    Offer,
)
from vfnet_capture.settings import CaptureSettings
from vfnet_capture.storage import ObjectStorage, storage_at
from vfnet_capture.store import CaptureStore
from vfnet_capture.tables import Tables
from vfnet_client.atomic_files import locked_file
from vfnet_images.decoding import ImageError, stored_size
from vfnet_images.kinds import kind_of

_NICEST = 19
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PAUSE_S = 1.0
"""After a write that failed: what arrives until then is dropped untried."""
_TABLES_EVERY_S, _TABLES_OF_OBJECTS_EVERY_S = 2.0, 60.0
_LOOK_EVERY_S = 60.0
"""At what is too old, and at all that others may have done."""
_MOST_AT_ONCE = 32
"""Images that are written while the store's lock is held once."""
_FORMATS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WebP": "webp", "TIFF": "tif", "PPM": "ppm",
            "JPEG 2000": "jp2"}  # fmt: skip
"""Endings that every reader knows."""


class Keeper:
    """Writes what is offered. One process has one.

    Args:
        told: takes the messages that go back, see `messages`.
    """

    def __init__(self, settings: CaptureSettings, told: Teller) -> None:
        assert settings.store is not None
        storage = storage_at(settings.store)
        self._store, self._told = CaptureStore(storage), told
        self._bounded = BoundedStore(self._store, settings)
        self._tables = Tables(storage)
        self._tables_every = _TABLES_OF_OBJECTS_EVERY_S if isinstance(storage, ObjectStorage) else _TABLES_EVERY_S
        self._tables_at = self._looked_at = -_LOOK_EVERY_S
        self._tables_lock = ExitStack()
        self._makes_tables = self._is_marked = self._cannot_keep = False
        self._tries_at = 0.0
        self._trouble = ""

    def keep(self, offers: list[Offer]) -> None:
        """Write images. Whatever fails is told, and is no exception."""
        if monotonic() < self._tries_at:
            self._told(DROPPED, UNWRITABLE, len(offers))
            return
        done = 0
        try:
            with self._store.locked():
                if self._bounded.look() or not self._is_marked:
                    self._mark()
                for offer in offers:
                    self._keep(offer)
                    done += 1
        except OSError as error:
            self._cannot_keep = True
            self._in_trouble(error, len(offers) - done)
        else:
            self._is_well()

    def tend(self, *, at_last: bool = False) -> None:
        """What is to be done from time to time. Whatever fails is told, and is no exception."""
        now = monotonic()
        if now < self._tries_at:
            return
        try:
            if now - self._looked_at >= _LOOK_EVERY_S:
                self._looked_at = now
                with self._store.locked():
                    self._bounded.look(anew=True)
                    self._mark()
                    if removed := self._bounded.remove_old():
                        self._told(REMOVED, AGE, removed)
                self._told(HOLDS, self._bounded.count, self._bounded.bytes)
            if (at_last or now - self._tables_at >= self._tables_every) and self._is_who_makes_tables():
                self._tables_at = now
                with self._store.locked():
                    self._tables.write()
                self._told(HOLDS, self._bounded.count, self._bounded.bytes)
        except OSError as error:
            self._in_trouble(error, 0)
        else:
            if not self._cannot_keep:  # what can be tended may be too full for an image
                self._is_well()

    def close(self) -> None:
        """Write the tables for the last time."""
        self._tries_at = 0.0
        self.tend(at_last=True)
        self._tables_lock.close()

    def _keep(self, offer: Offer) -> None:
        try:
            image = _image_of(offer)
        except (ImageError, RecordError):
            self._told(DROPPED, UNREADABLE, 1)
            return
        size = len(offer.picture) + len(image.to_line())
        removed = self._bounded.make_room(size)
        if removed is None:
            self._told(DROPPED, NO_ROOM, 1)
            return
        for reason, count in removed.items():
            self._told(REMOVED, reason, count)
        self._store.add(image, offer.picture)
        self._bounded.added(image.id, image.ending, size)
        self._told(KEPT, list(offer.reasons))

    def _mark(self) -> None:
        self._store.mark()
        self._is_marked = True

    def _is_who_makes_tables(self) -> bool:
        """One of several keepers of a store does; another when that has ended."""
        if not self._makes_tables:
            with suppress(BlockingIOError):
                self._tables_lock.enter_context(locked_file(self._store.storage.lock_file(TABLES_LOCK), wait=False))
                self._makes_tables = True
        return self._makes_tables

    def _in_trouble(self, error: OSError, dropped: int) -> None:
        is_full = error.errno in _FULL
        if dropped:
            self._told(DROPPED, DISK_FULL if is_full else UNWRITABLE, dropped)
        self._tries_at = monotonic() + _PAUSE_S
        self._is_marked = False
        reason = error.strerror or str(error)
        trouble = f"cannot write to the captured images in {self._store.url}: {reason}"
        if not self._trouble:  # another reason meanwhile is the same trouble
            self._told(TROUBLE, trouble)
        self._trouble = trouble

    def _is_well(self) -> None:
        self._cannot_keep = False
        if self._trouble:
            self._trouble = ""
            self._told(WELL)


class Teller:
    """Writes the messages that go back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __call__(self, *message: Any) -> None:
        """One message. Nobody may be there any more to read it."""
        with suppress(BrokenPipeError):
            self._stream.write(orjson.dumps(message) + b"\n")
            self._stream.flush()


def _image_of(offer: Offer) -> CapturedImage:
    """Raises ImageError, RecordError."""
    found = found_in(offer.detections)
    width, height = stored_size(offer.picture)
    kind = kind_of(offer.picture)
    labels = (_label(each) for each in counting(found))
    return CapturedImage(
        new_id(datetime.fromtimestamp(offer.at, UTC)), _FORMATS.get(kind.name if kind else "", "bin"), width, height,
        tuple(box for box in labels if box.x1 < box.x2 and box.y1 < box.y2), found, offer.request, offer.deployment,
        offer.score_threshold, offer.reasons, certainty(found), hashlib.sha256(offer.picture).hexdigest(),
        len(offer.picture), answered_by=offer.answered_by, checkpoint=offer.checkpoint,
    )  # fmt: skip


def _label(box: FoundBox) -> LabelledBox:
    """What a reviewer is to look at, within the image."""
    x1, y1, x2, y2 = (min(max(corner, 0.0), 1.0) for corner in (box.x1, box.y1, box.x2, box.y2))
    return LabelledBox(x1, y1, x2, y2, box.label, box.score)


def _offer(head: bytes, detections: bytes, picture: bytes) -> Offer:
    fields: dict[str, Any] = json.loads(head)
    return Offer(picture, detections, **fields | {"reasons": tuple(fields["reasons"])})


def _run(descriptor: int) -> None:
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        messages = _messages(pipe)
        fields: dict[str, Any] = json.loads(next(messages)[0])
        settings = CaptureSettings(**fields | {"classes": tuple(fields["classes"])})
        keeper = Keeper(settings, Teller(sys.stdout.buffer))
        keeper.tend()
        is_open = True
        while is_open:
            offers: list[Offer] = []
            if select.select([pipe], [], [], _TABLES_EVERY_S)[0]:
                while len(offers) < _MOST_AT_ONCE and (not offers or select.select([pipe], [], [], 0)[0]):
                    message = next(messages, None)
                    if message is None:
                        is_open = False
                        break
                    offers.append(_offer(*message))
            if offers:
                keeper.keep(offers)
            keeper.tend()
        keeper.close()


def _messages(pipe: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Until the pipe ends; half a message, of a gateway that was killed, is none."""
    while (lengths := _exactly(pipe, LENGTHS.size)) is not None:
        parts = [_exactly(pipe, length) for length in LENGTHS.unpack(lengths)]
        head, detections, picture = parts
        if head is None or detections is None or picture is None:
            return
        yield head, detections, picture


def _exactly(pipe: BinaryIO, size: int) -> bytes | None:
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        read = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not read:
            return None
        done += read
    return bytes(content)


def main() -> int:
    """Until the pipe ends."""
    # Ctrl-C on a terminal, and a service manager's SIGTERM, reach this too: it ends with its gateway, tables written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(_NICEST)
    _run(int(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
