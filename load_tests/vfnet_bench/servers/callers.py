"""Callers of a gateway that go on, on a thread of their own, while something happens to the servers behind it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from vfnet_bench.callers_on_a_thread import CallersOnAThread
from vfnet_bench.http_callers import HTTPCallers
from vfnet_client.exceptions import VFNetClientError
from vfnet_client.transport import open_transport
from vfnet_load.http_requests import score_request

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of the requests of a while."""

    seconds: float
    answered: int
    failures: tuple[str, ...]
    """In words, of each request that was not answered well."""
    slowest: float
    """Seconds."""
    worst_second: int
    """Answers in the whole second that had fewest."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds


class GatewayCallers(CallersOnAThread):
    """A context: half of them ask `/score`, half KServe v2 over gRPC, each again as soon as it is answered.

    None of them tries anything twice.
    """

    def __init__(self, port: int, grpc_url: str, image: bytes, callers: int) -> None:
        super().__init__()
        self._port, self._grpc_url, self._image, self._callers = port, grpc_url, image, callers
        self._answers: list[tuple[float, float]] = []
        """When each was sent, and answered (monotonic seconds)."""
        self._failures: list[str] = []

    def outcome(self, since: float) -> Outcome:
        """Of what was answered since then (monotonic seconds)."""
        now = time.monotonic()
        answers = [(sent, answered) for sent, answered in self._answers if answered >= since]
        by_second = Counter(int(answered - since) for _, answered in answers)
        whole = range(max(1, int(now - since)))
        return Outcome(
            now - since,
            len(answers),
            tuple(self._failures),
            max((answered - sent for sent, answered in answers), default=0.0),
            min(by_second[second] for second in whole),
        )

    async def _run(self) -> None:
        score, kserve = HTTPCallers("127.0.0.1", self._port), open_transport(self._grpc_url)
        request = score.prepare(score_request(self._image))

        async def at_score() -> None:
            await score.call(request)

        async def over_grpc() -> None:
            await kserve.infer(self._image, timeout=_TIMEOUT_S)

        ways = [at_score if position % 2 else over_grpc for position in range(self._callers)]

        async def go_on(position: int) -> None:
            while not self._ends.is_set():
                sent = time.monotonic()
                try:
                    await ways[position]()
                    self._answers.append((sent, time.monotonic()))
                except (VFNetClientError, RuntimeError, OSError, EOFError) as error:
                    self._failures.append(f"{type(error).__name__}: {error}")
                    await asyncio.sleep(0.05)

        try:
            await asyncio.gather(*map(go_on, range(self._callers)))
        finally:
            await score.close()
            await kserve.close()
