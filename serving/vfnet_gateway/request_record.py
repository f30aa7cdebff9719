"""What is known of one request while it is answered, for its headers, its log line and the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from starlette.requests import Request
from starlette.types import Message, Receive

from vfnet_gateway.admission import Priority
from vfnet_gateway.steps import OF_AN_IMAGE, RequestSteps, step

SCOPE_KEY = "vfnet.request_record"


@dataclass
class RequestRecord:
    """One request and its answer."""

    request_id: str
    started: float = field(default_factory=perf_counter)
    steps: RequestSteps = field(default_factory=RequestSteps)
    """All that is measured of it."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds spent in `read`, `parse`, `inference`, `write`, in this order."""
    bytes_in: int = 0
    bytes_out: int = 0
    images: int | None = None
    priority: Priority | None = None
    """Of a request that detects, once that is known."""
    has_failed_images: bool = False
    """Whether some that could be read were given up, because the model's process ended each time it had one."""
    deployment: str | None = None
    """Which one it went to, where there are several."""
    status: int | None = None
    """None while there is no answer: the client went first."""
    reason: str | None = None
    """Why it was refused or failed."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens in the context."""
        try:
            with step(name):
                yield
        finally:
            self.stages[name] = self.steps.seconds.get(name, 0.0)

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, counted and timed: until the body is whole, it is the stage `read`."""

        async def counted() -> Message:
            message = await receive()
            self.bytes_in += len(message.get("body", b""))
            self.stages["read"] = self.seconds()
            return message

        return counted

    def seconds(self) -> float:
        """Since the request's head arrived."""
        return perf_counter() - self.started

    def origins(self) -> tuple[str, str] | None:
        """Who answered its images, and by which checkpoint, as the server says; None: it says nothing.

        With commas between where there were several.
        """
        if not self.steps.origins:
            return None
        names, checkpoints = zip(*self.steps.origins, strict=True)
        return ",".join(names), ",".join(checkpoints)

    def server_timing(self) -> str:
        """The Server-Timing header: milliseconds by stage, and the total so far."""
        inside = self.steps.seconds if self.images == 1 else {}  # those of several images overlap
        of_image = {name: inside[name] for name in OF_AN_IMAGE if name in inside}
        of_models = {name: took / 1000 for name, took in self.steps.of_models} if self.images == 1 else {}
        stages = {**self.stages, **of_image, **of_models, "total": self.seconds()}
        return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in stages.items())


def request_record_of(request: Request) -> RequestRecord:
    """The record of a request that the middleware has let in."""
    record: RequestRecord = request.scope[SCOPE_KEY]
    return record
