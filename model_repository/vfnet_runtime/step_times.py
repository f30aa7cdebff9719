"""Where an image's time goes inside a model, measured once: spans, histograms and whoever else asks are told of it.

A model makes one `StepTimes`. For each image it takes an `ImageSteps` of it, measures in it, and `finish`es it; then
every listener is told. Measuring takes two readings of a clock, and nothing is kept where nobody listens.

    self.step_times = StepTimes(args["model_name"])
    self.step_times.listeners.append(listener)
    ...
    image = self.step_times.image(request)
    with image.measure(DECODE):
        ...
    self.step_times.finish(image)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

WAIT = "wait"
"""For a place in the ensemble (`vfnet_preprocess`), or for the images of the batch that are computed before
(`vfnet_detector`)."""
DECODE = "decode"
RESIZE = "resize"
NETWORK = "network"
CANDIDATES = "candidates"
"""The best of each level, where that is not part of the network."""
SUPPRESS = "nms"
WRITE = "write"
"""The answer as JSON."""
STEPS = (WAIT, DECODE, RESIZE, NETWORK, CANDIDATES, SUPPRESS, WRITE)
"""Every name, in the order of an image."""

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Step:
    """One of `STEPS`, of one image."""

    name: str
    started: int
    """Nanoseconds of CLOCK_MONOTONIC."""
    ended: int

    @property
    def seconds(self) -> float:
        """That it took."""
        return (self.ended - self.started) / 1e9


@dataclass(slots=True)
class ImageSteps:
    """One image in one model. To be used by one thread at a time."""

    request: Any
    """Triton's, as the model got it."""
    started: int = field(default_factory=monotonic_ns)
    ended: int = 0
    """0 while the model has the image. Nanoseconds of CLOCK_MONOTONIC, as `started`."""
    steps: list[Step] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """What the steps were done with: never anything of the image's content, nor a name that its sender chose."""
    error: str | None = None
    """Why there is no answer, as its caller is told."""

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """What happens in the context is this step, also where it fails."""
        started = monotonic_ns()
        try:
            yield
        finally:
            self.note(name, started, monotonic_ns())

    def note(self, name: str, started: int, ended: int) -> None:
        """A step whose times are known already, in nanoseconds of CLOCK_MONOTONIC."""
        self.steps.append(Step(name, started, ended))


Listener = Callable[[ImageSteps], None]
"""Is told of each image when the model is done with it, on the thread that was: it must be quick."""


class StepTimes:
    """Of one model process.

    Args:
        model: its name in Triton.
        warn: is told in a sentence of a listener that failed. It is asked no more: no image fails for it.
    """

    def __init__(self, model: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self.model, self._warn = model, warn
        self.listeners: list[Listener] = []

    def image(self, request: Any) -> ImageSteps:
        """The model begins with an image."""
        return ImageSteps(request)

    def finish(self, image: ImageSteps, error: str | None = None) -> None:
        """The model is done with it.

        Args:
            error: why there is no answer.
        """
        image.ended, image.error = monotonic_ns(), error
        for listener in tuple(self.listeners):
            try:
                listener(image)
            except Exception as failure:
                self.listeners.remove(listener)
                self._warn(f"{self.model}: steps are no longer told to {listener}: {type(failure).__name__}: {failure}")
