"""Copies of answered images for another deployment: compared, never waited for, dropped when the server is busy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import VFNetClientError
from vfnet_gateway.capturing import RequestCapture
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.traffic.answer_agreement import agreement_of
from vfnet_gateway.traffic.deployment_metrics import DeploymentCounts
from vfnet_gateway.traffic.split import WHOLE

_PATIENCE_S = 60.0
"""For the answer to a copy."""


@dataclass(frozen=True)
class MirrorTarget:
    """A deployment that gets copies."""

    ensemble: Ensemble
    counts: DeploymentCounts
    percent: float


class Copies:
    """The copies that are in flight, of all mirrors of one gateway. A copy has no place of its own and takes none.

    Args:
        room: images in all ensembles, copies included, from which on no more copies are sent.
        callers_images: those of callers that have a place now.
        callers_waiting: requests that wait for a place.
    """

    def __init__(self, room: int, callers_images: Callable[[], int], callers_waiting: Callable[[], int]) -> None:
        self._room, self._callers_images, self._callers_waiting = room, callers_images, callers_waiting
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self) -> bool:
        """Whether one more copy may be sent, for an image whose own place is about to become free."""
        return not self._callers_waiting() and self._callers_images() - 1 + len(self._tasks) < self._room

    def start(self, copy: Coroutine[Any, Any, None]) -> None:
        """Send one, and return at once."""
        task = asyncio.create_task(copy)
        self._tasks.add(task)  # the loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for no copy any more; what Triton has of them, it finishes: see `Ensemble.finish`."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Mirror:
    """Sends copies of what the live deployment has answered. To be used by one event loop."""

    def __init__(self, targets: Sequence[MirrorTarget], copies: Copies) -> None:
        self._targets, self._copies = tuple(targets), copies

    def offer(
        self, image: bytes, options: DetectionOptions, answer: bytes, capture: RequestCapture | None = None
    ) -> None:
        """Perhaps send a copy of an image with the live one's `DETECTIONS`. Returns at once.

        Args:
            capture: told if the answers differ.
        """
        for target in self._targets:
            if random.random() * WHOLE >= target.percent:
                continue
            if self._copies.has_room():
                self._copies.start(_compare(target, image, options, answer, capture))
            else:
                target.counts.dropped_copy()


async def _compare(
    target: MirrorTarget, image: bytes, options: DetectionOptions, answer: bytes, capture: RequestCapture | None
) -> None:
    began = perf_counter()
    try:
        outputs = await target.ensemble.answer_copy(image, _PATIENCE_S, options=options)
        seconds = perf_counter() - began
        agreement = agreement_of(answer, outputs["DETECTIONS"][0])
        target.counts.compared(seconds, agreement)
        if capture is not None and agreement.both < agreement.total:
            capture.disagreed(image, answer, options)
    except (VFNetClientError, ValueError) as error:  # the latter: one of the answers is no detections
        target.counts.failed_copy(error)
