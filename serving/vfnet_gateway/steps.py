"""What a request's time goes into: each step is measured once, for headers and log, and as a span where it is traced.

Whoever does something for a request need not know the request: the steps are those of the task that runs, and of the
tasks that it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

from vfnet_client.answer_about import About

IMAGE, FETCH, WAIT, TRITON = "image", "fetch", "wait", "triton"
"""One image; by URL; for a place in the ensemble; its inference, all tries together."""
_MOST_ORIGINS = 4
OF_AN_IMAGE = (FETCH, WAIT, TRITON)
"""What one image is made of; it is told image by image."""


class Trace(Protocol):
    """Of one request: see `vfnet_gateway.tracing`."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    def step(self, name: str, started: int, attributes: dict[str, str | int]) -> Iterator[None]:
        """A generator of two halves: begins a span, and ends it, with the error thrown into it. `perf_counter_ns`."""
        ...


@dataclass
class RequestSteps:
    """Of one request."""

    seconds: dict[str, float] = field(default_factory=dict)
    """By name; summed over its images, which may overlap."""
    trace: Trace | None = None
    """None: it is not traced, or not sampled."""
    tell: Callable[[str, float], None] | None = None
    """Is told each of `OF_AN_IMAGE` and its seconds when it is over."""
    wants_models: bool = False
    """Whether its caller asks where the time went inside the models."""
    of_models: tuple[tuple[str, float], ...] = ()
    """That, of the image that was answered last: see `vfnet_client.answer_about.About.steps`."""
    origins: dict[tuple[str, str], None] = field(default_factory=dict)
    """Deployments and checkpoints that answered its images: several while one replaces another."""

    def hear(self, about: About) -> None:
        """An image is answered, and the server said this of it."""
        self.of_models = about.steps
        if len(self.origins) < _MOST_ORIGINS:
            self.origins[about.answered_by, about.checkpoint] = None

    def begin(self, tell: Callable[[str, float], None] | None = None) -> None:
        """What the running task does from now on is done for this request; `tell` as of the attribute."""
        self.tell = tell
        _CURRENT.set(self)


_CURRENT: ContextVar[RequestSteps | None] = ContextVar("request_steps", default=None)


@contextmanager
def step(name: str, **attributes: str | int) -> Iterator[None]:
    """What happens in the context is a step of the request that it is done for, if it is done for one."""
    steps = _CURRENT.get()
    if steps is None:
        yield
        return
    started = perf_counter_ns()
    try:
        if steps.trace is None:
            yield
        else:
            yield from steps.trace.step(name, started, attributes)
    finally:
        seconds = (perf_counter_ns() - started) / 1e9
        steps.seconds[name] = steps.seconds.get(name, 0.0) + seconds
        if steps.tell is not None and name in OF_AN_IMAGE:
            steps.tell(name, seconds)


def current_steps() -> RequestSteps | None:
    """Of the request that the running task works for."""
    return _CURRENT.get()


def current_trace_id() -> str | None:
    """Of the request that the running task works for."""
    steps = _CURRENT.get()
    return None if steps is None or steps.trace is None else steps.trace.trace_id
