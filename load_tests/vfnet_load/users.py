"""Locust users. With a closed loop each sends its next request when the last is answered; with an open loop each sends
`--rate-per-user` requests a second whatever becomes of them, so that the number of users is the arrival rate."""

from __future__ import annotations

import hashlib
import random
from time import perf_counter, time
from typing import Any, ClassVar

from gevent.pool import Group
from locust import User, task

from vfnet_load.arrivals import arrivals
from vfnet_load.calls import Call, GRPCCall, NotAnsweredError, ScoreCall, TritonHTTPCall
from vfnet_load.coco_sizes import ImageSize
from vfnet_load.options import LoadOptions
from vfnet_load.pictures import Picture, make_picture
from vfnet_load.records import ANSWERED, Record, Recorder

ALTERED = "the answer is not the one that the picture got when it was alone"
ABANDONED = "unanswered when the run ended"
recorder = Recorder()
"""Of this process."""
_calls: dict[type[Call], Call] = {}
_pictures: dict[ImageSize, Picture] = {}
_in_flight = Group()
"""Requests of open loops, whose users do not wait for them."""


class DetectionUser(User):
    """Sends pictures of the chosen sizes."""

    abstract = True
    way: ClassVar[str]
    call_type: ClassVar[type[Call]]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.load = LoadOptions.from_options(environment.parsed_options)
        self.call = shared_call(self.call_type, self.load)
        self.alone: dict[str, str] = getattr(environment.parsed_options, "alone_answers", None) or {}
        self._sizes, self._shares = zip(*self.load.sizes.items(), strict=True)
        self._arrivals = arrivals(perf_counter(), self.load.rate_per_user, poisson=self.load.poisson)
        self._due: float | None = None

    def wait_time(self) -> float:
        """Seconds until the next task: none in a closed loop. Locust may stop a user while it waits."""
        if not self.load.is_open:
            return 0.0
        self._due = next(self._arrivals)
        return max(0.0, self._due - perf_counter())

    @task
    def detect(self) -> None:
        """One request: to its end, or in an open loop sent and left. (Locust's first task is before the first wait.)"""
        if not self.load.is_open:
            self._ask(perf_counter())
        elif self._due is not None:
            _in_flight.spawn(self._ask, self._due)

    def _ask(self, due: float) -> None:
        picture = shared_picture(random.choices(self._sizes, self._shares)[0])
        at, reason, error, length = time() - (perf_counter() - due), ABANDONED, None, 0
        recorder.begin()
        sent = perf_counter()
        try:
            answer = self.call.ask(picture)
            length = len(answer)
            expected = self.alone.get(picture.digest)
            reason = ANSWERED if expected in (None, digest(answer)) else ALTERED
        except NotAnsweredError as caught:
            reason = str(caught)
        finally:
            latency = perf_counter() - due
            recorder.end(Record(at, latency, sent - due, self.way, str(picture.size), reason))
        if reason != ANSWERED:
            error = NotAnsweredError(reason)
        self.environment.events.request.fire(
            request_type=self.way,
            name="detect",
            response_time=1000 * latency,
            response_length=length,
            exception=error,
            context={"size": str(picture.size)},
        )


class GRPCUser(DetectionUser):
    """Triton over gRPC."""

    way, call_type = "gRPC", GRPCCall


class TritonHTTPUser(DetectionUser):
    """Triton over HTTP."""

    way, call_type = "Triton HTTP", TritonHTTPCall


class ScoreUser(DetectionUser):
    """The gateway's `/score`."""

    way, call_type = "/score", ScoreCall


def abandon() -> None:
    """Give up what an open loop still has in flight."""
    _in_flight.kill()


def shared_call(call_type: type[Call], load: LoadOptions) -> Call:
    """One of each kind in a process: it keeps the connections."""
    call = _calls.get(call_type)
    if call is None or (call.targets, call.timeout) != (load.targets, load.timeout):
        call = _calls[call_type] = call_type(load.targets, load.timeout)
    return call


def shared_picture(size: ImageSize) -> Picture:
    """Made once in a process."""
    if size not in _pictures:
        _pictures[size] = make_picture(size)
    return _pictures[size]


def answers_alone(call: Call, load: LoadOptions) -> dict[str, str]:
    """Ask for each picture while nothing else is asked: warms each shape up, and is what later answers must equal.

    Returns:
        The digest of the answer by the digest of the picture.

    Raises:
        NotAnsweredError: the server does not serve.
    """
    pictures = [shared_picture(size) for size in load.sizes]
    return {picture.digest: digest(call.ask(picture)) for picture in pictures}


def digest(answer: bytes) -> str:
    """Names an answer's very bytes."""
    return hashlib.sha256(answer).hexdigest()[:16]
