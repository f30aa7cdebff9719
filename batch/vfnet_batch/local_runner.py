"""Scoring from this one process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from vfnet_batch.batch import Batch
from vfnet_batch.errors import InterruptedBatchError
from vfnet_batch.served_detector import ServedDetector
from vfnet_batch.settings import ServerSettings
from vfnet_batch.shard_scoring import Scored, Scorer, ScoringWindow
from vfnet_client.detection_options import NO_OPTIONS

_SECONDS_TO_FINISH = 20.0
"""What is in flight gets so long when a signal has come."""
_LONGEST_WAIT_S = 1.0
_MOST_PICTURE_BYTES = 32 * 2**20
"""Annotated pictures kept in memory until their shard is written."""
Ending = Callable[[], str | None]


def score_plainly(batch: Batch, servers: ServerSettings, ending: Ending = lambda: None) -> None:
    """Score what is left to do; on the main thread. The first SIGINT or SIGTERM finishes what is in flight.

    Args:
        ending: see `ServedDetector`.

    Raises:
        InterruptedBatchError: a signal ended it.
        VFNetClientError: the servers cannot be used, or the output cannot be written. What was done is saved.
    """
    asyncio.run(_score(batch, servers, ending))


def check_servers(servers: ServerSettings) -> None:
    """Prove each with a real inference; for whoever asks them from elsewhere. Raises as `ServedDetector.check`."""

    async def check() -> None:
        detector = ServedDetector(servers, 1, NO_OPTIONS, print)
        try:
            await detector.check()
        finally:
            await detector.close()

    asyncio.run(check())


async def _score(batch: Batch, servers: ServerSettings, ending: Ending) -> None:
    settings = batch.settings
    detector = ServedDetector(
        servers, settings.concurrency, settings.options, batch.progress.say, ending, settings.tiling
    )
    scorer = Scorer(detector, settings.concurrency, settings.draw_threshold, settings.fetching)
    try:
        await detector.check()
        if (note := await detector.note_on_training()) is not None:
            batch.progress.say(note)
        batch.progress.begin()
        with _noticed_signals() as noticed:
            await _run(batch, scorer, noticed)
    finally:
        await scorer.close()


async def _run(batch: Batch, scorer: Scorer, noticed: list[int]) -> None:
    window = ScoringWindow(scorer, batch.plan.entries(batch.todo))
    shard = _OpenShard(batch)
    give_up_at = float("inf")
    try:
        while not window.is_empty:
            if noticed and give_up_at == float("inf"):
                batch.progress.say("stopping: finishing what is in flight")
                window.stop_reading()
                give_up_at = monotonic() + _SECONDS_TO_FINISH
            if monotonic() > give_up_at:
                break
            for scored in await window.next_done(min(_LONGEST_WAIT_S, shard.seconds_left)):
                await shard.add(scored)
            await shard.save_if_due()
    finally:
        await window.close()
        await shard.close()
    if noticed:
        message = f"stopped by {signal.Signals(noticed[0]).name}; the same command goes on"
        raise InterruptedBatchError(message, noticed[0])


class _OpenShard:
    """Rows of consecutive images that are not written yet. One shard is written while the next fills."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._scored: list[Scored] = []
        self._picture_bytes = 0
        self._began = monotonic()
        self._writing: asyncio.Future[None] | None = None

    @property
    def seconds_left(self) -> float:
        """Until it has to be saved."""
        return max(0.01, self._began + self._batch.settings.shard_seconds - monotonic())

    async def add(self, scored: Scored) -> None:
        """Put one more into it."""
        if self._scored and scored.position != self._scored[-1].position + 1:
            await self.save()
        self._scored.append(scored)
        self._picture_bytes += 0 if scored.picture is None else len(scored.picture[0])
        self._batch.progress.advance(1)
        is_full = len(self._scored) >= self._batch.settings.shard_images
        if is_full or self._picture_bytes >= _MOST_PICTURE_BYTES:
            await self.save()

    async def save_if_due(self) -> None:
        """Save it when it has been open long enough."""
        if monotonic() - self._began >= self._batch.settings.shard_seconds:
            await self.save()

    async def save(self) -> None:
        """Begin to write it; wait for the one before."""
        await self._written()
        self._began = monotonic()
        if self._scored:
            scored, self._scored, self._picture_bytes = self._scored, [], 0
            write = asyncio.to_thread(self._batch.write_shard, scored[0].position, scored)
            self._writing = asyncio.ensure_future(write)

    async def close(self) -> None:
        """Write what there is."""
        await self.save()
        await self._written()

    async def _written(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            began = monotonic()
            await writing
            self._batch.waited += monotonic() - began


@contextmanager
def _noticed_signals() -> Iterator[list[int]]:
    """Signals that came; the second of one kind ends the process as it always would."""
    loop, noticed = asyncio.get_running_loop(), list[int]()

    def notice(number: int) -> None:
        noticed.append(number)
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, notice, number)
    try:
        yield noticed
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
