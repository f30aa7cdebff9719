"""Callers that keep what they were answered and when, while a model is replaced."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vfnet_bench.callers_on_a_thread import CallersOnAThread
from vfnet_bench.http_callers import HTTPCallers
from vfnet_bench.load import call_at_rate
from vfnet_bench.serving.triton_callers import TritonCallers
from vfnet_client.exceptions import ServerBusyError, VFNetClientError
from vfnet_client.transport import open_transport
from vfnet_load.http_requests import score_request
from vfnet_serve.endpoints import Endpoints

GRPC, SCORE, HTTP = "gRPC at Triton", "/score", "HTTP at Triton"
_TIMEOUT_S = 60.0
_REFUSED = (429, 503)
_PAUSE_S = 0.05
"""Of who was refused."""


@dataclass(frozen=True)
class Witnessed:
    """One answer. Times in seconds of `time.monotonic`."""

    way: str
    sent: float
    answered: float
    digest: str
    """Of its bytes; empty where it was refused, or only its status is known."""


class Witnesses(CallersOnAThread):
    """A context: they ask on a thread of their own, none of them twice.

    Args:
        at_rate: a second, by HTTP at Triton, whether or not earlier ones are answered; None: four by gRPC at Triton and
            two at `/score`, each again as soon as it is answered.
    """

    def __init__(self, endpoints: Endpoints, score_port: int, image: bytes, at_rate: float | None = None) -> None:
        super().__init__()
        self._endpoints, self._score_port, self._image, self._at_rate = endpoints, score_port, image, at_rate
        self.answers: list[Witnessed] = []
        self.failures: list[str] = []
        """In words."""
        self.refused = 0

    def by_second(self, since: float, until: float) -> list[int]:
        """Answers in each whole second between these two moments."""
        counts = Counter(int(each.answered - since) for each in list(self.answers) if since <= each.answered < until)
        return [counts[second] for second in range(max(1, int(until - since)))]

    async def _run(self) -> None:
        await (self._in_turn() if self._at_rate is None else self._arriving(self._at_rate))

    async def _in_turn(self) -> None:
        score, triton = HTTPCallers("127.0.0.1", self._score_port), open_transport(self._endpoints.grpc_url)
        request = score.prepare(score_request(self._image))

        async def ask(way: str) -> bytes:
            if way == GRPC:
                (document,) = (await triton.infer(self._image, timeout=_TIMEOUT_S))["DETECTIONS"]
                return bytes(document)
            status, body = await score.ask(request)
            if status in _REFUSED:
                raise ServerBusyError(f"{status}")
            if status != 200:
                raise RuntimeError(f"{status}: {body[:200].decode(errors='replace')}")
            return body

        async def go_on(way: str) -> None:
            while not self._ends.is_set():
                sent = time.monotonic()
                try:
                    digest = hashlib.sha256(await ask(way)).hexdigest()
                    self.answers.append(Witnessed(way, sent, time.monotonic(), digest))
                except ServerBusyError:
                    self.refused += 1
                    await asyncio.sleep(_PAUSE_S)
                except (VFNetClientError, RuntimeError, OSError, EOFError) as error:
                    self.failures.append(f"{way}: {type(error).__name__}: {error}")

        try:
            await asyncio.gather(*map(go_on, (GRPC,) * 4 + (SCORE,) * 2))
        finally:
            await score.close()
            await triton.close()

    async def _arriving(self, rate: float) -> None:
        triton = TritonCallers(self._endpoints, [self._image])

        async def call() -> int:
            sent = time.monotonic()
            try:
                status = await triton.call()
            except (OSError, EOFError) as error:
                self.failures.append(f"{HTTP}: {type(error).__name__}: {error}")
                return 0
            if status == 200:
                self.answers.append(Witnessed(HTTP, sent, time.monotonic(), ""))
            elif status in _REFUSED:
                self.refused += 1
            else:
                self.failures.append(f"{HTTP}: {status}")
            return status

        try:
            while not self._ends.is_set():
                await asyncio.gather(*(await call_at_rate(call, rate, 0.5)))
        finally:
            await triton.close()


def kinds_of(answers: Iterable[Witnessed]) -> int | None:
    """Different answers to the one request at one way, at most; None where none is known."""
    found = {(each.way, each.digest) for each in answers if each.digest}
    return max(Counter(way for way, _ in found).values(), default=None)
