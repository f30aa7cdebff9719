"""Callers of Triton itself, over HTTP: any number of them, on connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from vfnet_bench.http_caller import HTTPCaller, post
from vfnet_client.http_transport import infer_request
from vfnet_client.transport import MODEL
from vfnet_serve.endpoints import Endpoints

INTERACTIVE, BATCH = 1, 2
"""Triton's priority levels, as the repository's models are configured."""


@dataclass(frozen=True)
class Answer:
    """What became of one image."""

    sent: float
    """Seconds of `time.perf_counter`."""
    seconds: float
    """Until the answer."""
    status: int
    """HTTP's."""

    @property
    def is_good(self) -> bool:
        """Detected."""
        return self.status == 200

    @property
    def answered(self) -> float:
        """When, as `sent`."""
        return self.sent + self.seconds


class TritonCallers:
    """Sends images. To be used by one event loop."""

    def __init__(self, endpoints: Endpoints, images: Sequence[bytes]) -> None:
        """
        Args:
            images: encoded; each call takes the next.
        """
        self._host, self._port = endpoints.local_host, endpoints.http_port
        self._requests = {
            priority: [self._request(image, priority) for image in images] for priority in (INTERACTIVE, BATCH)
        }
        self._calls = 0
        self._idle: list[HTTPCaller] = []

    async def call(self, priority: int = INTERACTIVE) -> Answer:
        """One image."""
        requests = self._requests[priority]
        request, self._calls = requests[self._calls % len(requests)], self._calls + 1
        sent = perf_counter()
        connection = self._idle.pop() if self._idle else await HTTPCaller.connect(self._host, self._port)
        status, _body = await connection.ask(request)
        self._idle.append(connection)
        return Answer(sent, perf_counter() - sent, status)

    async def close(self) -> None:
        """Give the connections back."""
        for connection in self._idle:
            await connection.close()

    def _request(self, image: bytes, priority: int) -> bytes:
        head, tensor = infer_request(image, None, ("DETECTIONS",), priority)
        length = f"inference-header-content-length: {len(head)}"
        return post(self._host, f"/v2/models/{MODEL}/infer", "application/octet-stream", head + tensor, length)


async def call_in_turn(
    callers: TritonCallers, count: int, seconds: float, priority: int = INTERACTIVE, pause: float = 0.05
) -> list[Answer]:
    """`count` callers, each calling again as soon as it is answered, or `pause` seconds after it was refused."""
    end, answers = perf_counter() + seconds, list[Answer]()

    async def go_on() -> None:
        while perf_counter() < end:
            answers.append(await callers.call(priority))
            if not answers[-1].is_good:
                await asyncio.sleep(pause)

    await asyncio.gather(*(go_on() for _ in range(count)))
    return answers


async def call_at_rate(
    callers: TritonCallers, rate: float, seconds: float, priority: int = INTERACTIVE
) -> list[asyncio.Task[Answer]]:
    """`rate` calls a second, whether or not earlier ones are answered; the last are still under way on return."""
    started, tasks = perf_counter(), list[asyncio.Task[Answer]]()
    while (elapsed := perf_counter() - started) < seconds:
        tasks += [asyncio.create_task(callers.call(priority)) for _ in range(int(elapsed * rate) + 1 - len(tasks))]
        await asyncio.sleep(max(0.0, started + len(tasks) / rate - perf_counter()))
    return tasks
