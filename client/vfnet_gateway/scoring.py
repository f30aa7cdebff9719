"""From a request as understood to its answer: images into the ensemble, results back in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

from vfnet_client import contract
from vfnet_client.contract import ImageURL, ScoreRequest
from vfnet_client.exceptions import DeadlineExceededError, InvalidImageError
from vfnet_client.transport import Transport
from vfnet_client.turns import Turns
from vfnet_gateway.flights import Flight, Flights
from vfnet_gateway.priorities import Priority
from vfnet_gateway.settings import GatewaySettings

Fetch = Callable[[str], Awaitable[bytes]]
_DECODE_ON_A_THREAD_FROM = 1 << 20
"""Characters of base64; fewer take less than two milliseconds."""
_BUSY_PATIENCE_S = 2.0
"""How long a gateway that has nothing in the ensemble keeps asking a Triton that others fill."""


@dataclass
class Answers:
    """What became of the images of one request, in its order."""

    results: list[bytes | None]
    """Triton's `DETECTIONS`; None where there is a reason instead."""
    reasons: dict[int, str] = field(default_factory=dict)
    """By position, why an image could not be read."""


@dataclass
class _Batch:
    """One request at work."""

    request: ScoreRequest
    flight: Flight
    deadline: float
    answers: Answers


class Scorer:
    """Runs requests against one Triton. To be used by one event loop."""

    def __init__(self, settings: GatewaySettings, transport: Transport, fetch: Fetch) -> None:
        self.settings, self._transport, self._fetch = settings, transport, fetch
        self.flights = Flights(settings.max_in_flight, settings.max_waiting, settings.queue_timeout)
        # All requests share them: an image that Triton refuses waits for one that it answers, and none pushes in.
        # Triton has a queue for each priority, so that they are refused separately.
        self._turns = {priority: Turns(_BUSY_PATIENCE_S) for priority in Priority}
        # As many fetched images are in memory as there are places to send them to.
        self._fetches = asyncio.Semaphore(settings.max_in_flight)

    async def answer(self, request: ScoreRequest, priority: Priority = Priority.INTERACTIVE) -> Answers:
        """Detect on the images of one request, a bounded window of them at once. Cancelling it cancels them.

        Its `items` are let go as they are sent.

        Raises:
            ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: of the whole request.
        """
        timeout = self.settings.timeout
        batch = _Batch(
            request,
            self.flights.of_a_request(priority),
            perf_counter() + timeout,
            Answers([None] * len(request.items)),
        )
        try:
            async with asyncio.timeout(timeout):
                await self._run(batch)
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {timeout:g} s; send fewer images at a time") from error
        return batch.answers

    async def _run(self, batch: _Batch) -> None:
        positions = iter(range(len(batch.request.items)))
        workers = min(len(batch.request.items), self.settings.request_window)
        if workers <= 1:
            return await self._work(batch, positions)
        tasks = [asyncio.create_task(self._work(batch, positions)) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # their places are free when this returns
        return None

    async def _work(self, batch: _Batch, positions: Iterator[int]) -> None:
        for position in positions:
            item, batch.request.items[position] = batch.request.items[position], None
            try:
                batch.answers.results[position] = await self._detect(batch, item)
            except InvalidImageError as error:
                batch.answers.reasons[position] = str(error)

    async def _detect(self, batch: _Batch, item: Any) -> bytes:
        if isinstance(item, str) and contract.is_url(item.strip()):
            async with self._fetches:  # and no place in the ensemble while it loads
                image = await self._fetch(item.strip())
                return await self._send(batch, image)
        return await self._send(batch, item)

    async def _send(self, batch: _Batch, item: Any) -> bytes:
        async with batch.flight.place():
            image = item if isinstance(item, bytes) else await decode_item(item)
            return await self._turns[batch.flight.priority].send(partial(self._infer, batch, image))

    async def _infer(self, batch: _Batch, image: bytes) -> bytes:
        left = batch.deadline - perf_counter()
        outputs = await self._transport.infer(
            image,
            score_threshold=batch.request.score_threshold,
            timeout=max(left, 1e-3),
            priority=batch.flight.priority,
        )
        answer: bytes = outputs["DETECTIONS"][0]
        return answer


async def decode_item(item: Any) -> bytes:
    """`contract.decode_image_item` of what is no URL, away from the event loop where it takes long."""
    long = isinstance(item, str) and len(item) >= _DECODE_ON_A_THREAD_FROM
    found = await asyncio.to_thread(contract.decode_image_item, item) if long else contract.decode_image_item(item)
    assert not isinstance(found, ImageURL)
    return found


def retry_after(seconds: float) -> str:
    """The value of a Retry-After header: whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))
