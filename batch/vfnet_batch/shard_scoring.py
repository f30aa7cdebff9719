"""Images to rows, a bounded number of them at once, in the order of the input."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vfnet_batch.entries import Entry
from vfnet_batch.fetch_settings import FetchSettings
from vfnet_batch.image_reading import ImageReader, stored_size
from vfnet_batch.rows import Row
from vfnet_client.detections import Detections
from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    InvalidOptionsError,
    RequestError,
    VFNetClientError,
)
from vfnet_client.safe_text import printable_line
from vfnet_images.jpeg_ends import NOTE, lacks_end_marker

_READ_AHEAD = 3
"""Windows of images read, in flight or answered and not yet taken: a slow image or disk leaves the server its work."""
_LEAST_READERS = 8
_LONGEST_REASON = 500
_ABOUT_ONE_IMAGE = (InvalidImageError, RequestError, InferenceError, DeadlineExceededError)


class Detector(Protocol):
    """Encoded bytes -> detections: servers, or a network in this process."""

    async def detect(self, encoded: bytes) -> Detections:
        """See `vfnet_batch.served_detector.ServedDetector.detect`."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True)
class Scored:
    """One image that is done."""

    position: int
    row: Row
    picture: tuple[bytes, str] | None = None
    """Encoded, with its detections drawn, and its suffix."""
    note: str | None = None
    """About an image that was answered all the same."""


class Scorer:
    """Reads, detects and draws. To be used by one event loop.

    Args:
        concurrency: images in flight at once.
        draw_threshold: of the boxes that are drawn on a copy of the image; None draws none.
        fetching: where images by URL may come from; by default public hosts.
    """

    def __init__(
        self,
        detector: Detector,
        concurrency: int,
        draw_threshold: float | None = None,
        fetching: FetchSettings | None = None,
    ) -> None:
        self._detector, self._draw_threshold, self.concurrency = detector, draw_threshold, concurrency
        self._reader = ImageReader(max(_LEAST_READERS, concurrency), fetching)
        self._slots = asyncio.Semaphore(concurrency)

    async def score(self, position: int, entry: Entry) -> Scored:
        """The row of one image, whatever is wrong with it.

        Raises:
            VFNetClientError: what is wrong is not about this image alone.
        """
        name, image_id = entry.printable_name, entry.image_id
        try:
            encoded = await self._reader.read(entry)
            async with self._slots:
                found = await self._detector.detect(encoded)
        except VFNetClientError as error:
            if not isinstance(error, _ABOUT_ONE_IMAGE) or isinstance(error, InvalidOptionsError):
                raise
            reason = printable_line(str(error), _LONGEST_REASON)
            return Scored(position, Row(name, image_id, error=reason))
        width, height = stored_size(encoded) or (None, None)
        row = Row(name, image_id, width, height, found.to_json()["boxes"])
        note = NOTE if lacks_end_marker(encoded) else None
        return Scored(position, row, await self._drawn(encoded, found), note)

    async def close(self) -> None:
        """Give back what it holds."""
        await self._reader.close()
        await self._detector.close()

    async def _drawn(self, encoded: bytes, found: Detections) -> tuple[bytes, str] | None:
        if self._draw_threshold is None:
            return None
        from vfnet_client.drawing import annotate

        shown = Detections([box for box in found.boxes if box.score >= self._draw_threshold])
        try:
            return await asyncio.to_thread(annotate, encoded, shown)
        except InvalidImageError:  # the server could read it, Pillow here cannot: the row stands
            return None


class ScoringWindow:
    """Scores a stream of entries ahead of whoever takes the results, and not too far.

    Args:
        entries: positions and entries, read as places in the window become free.
    """

    def __init__(self, scorer: Scorer, entries: Iterator[tuple[int, Entry]]) -> None:
        self._scorer, self._entries = scorer, entries
        self._size = _READ_AHEAD * scorer.concurrency
        self._pending: deque[asyncio.Task[Scored]] = deque()
        self._is_open = True

    def stop_reading(self) -> None:
        """Begin no further image."""
        self._is_open = False

    async def next_done(self, timeout: float) -> list[Scored]:
        """What is done from the front on, after at most `timeout` seconds; perhaps nothing.

        Raises:
            VFNetClientError: as `Scorer.score`, once all before it has been taken.
        """
        self._fill()
        if self._pending:
            await asyncio.wait([self._pending[0]], timeout=timeout)
        done: list[Scored] = []
        while self._pending and self._pending[0].done():
            if self._pending[0].exception() is not None and done:
                break
            done.append(self._pending.popleft().result())
        return done

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken that will come."""
        self._fill()
        return not self._pending

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        self._pending.clear()

    def _fill(self) -> None:
        while self._is_open and len(self._pending) < self._size:
            following = next(self._entries, None)
            if following is None:
                self._is_open = False
            else:
                self._pending.append(asyncio.create_task(self._scorer.score(*following)))


async def score_in_order(scorer: Scorer, entries: Iterator[tuple[int, Entry]], take: Callable[[Scored], None]) -> None:
    """Score everything; `take` gets it in order."""
    window = ScoringWindow(scorer, entries)
    try:
        while not window.is_empty:
            for scored in await window.next_done(60.0):
                take(scored)
    finally:
        await window.close()
