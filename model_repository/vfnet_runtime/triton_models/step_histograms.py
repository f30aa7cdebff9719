"""How long each step of an image took, as histograms among Triton's metrics, which add up over processes and servers.

Triton 2.51 gives Python models counters and gauges. So a histogram is counters of the names and labels that Prometheus
expects of one: `vfnet_step_seconds_bucket`, by `le`, `vfnet_step_seconds_sum` and `vfnet_step_seconds_count`.

Telling Triton is a message between processes, and it waits for it. So an image is counted here, in a microsecond a
step, and every two seconds a thread tells what has been counted since. What a process that dies has not told is lost.

That thread must not ask `Pauses.end_if_given_up`: between two images a message that waits for this process is its next
image, and no sign that Triton has given it up. Counts name no image, so that Triton may have them at any time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

import triton_python_backend_utils as pb_utils

from vfnet_runtime import latency_buckets
from vfnet_runtime.step_times import CANDIDATES, DECODE, NETWORK, RESIZE, SUPPRESS, WAIT, WRITE, ImageSteps
from vfnet_runtime.triton_models.lasting_counters import LastingCounters

QUEUE = "queue"
"""From being preprocessed to being taken by the detector."""
ENSEMBLE = "ensemble"
"""From being let in by preprocessing to the end of postprocessing."""
PREPROCESS, DETECTOR, POSTPROCESS = "preprocess", "detector", "postprocess"
"""All that a model did with an image, its waiting in there included."""
OF_PREPROCESS = (WAIT, DECODE, RESIZE, PREPROCESS)
OF_DETECTOR = (QUEUE, NETWORK, CANDIDATES, DETECTOR)
OF_POSTPROCESS = (SUPPRESS, WRITE, POSTPROCESS, ENSEMBLE)
_TELL_EVERY_SECONDS = 2.0
_LAST_SECONDS = 1.0
"""For what is left when the model is unloaded: a Triton that takes nothing any more is not to hold that up."""
_BOUNDS = latency_buckets.SECONDS


class _Histogram:
    """Of one step: what has been counted and not yet told, and where it is told."""

    def __init__(self, families: Sequence[LastingCounters], model: str, step: str) -> None:
        buckets, total, count = families
        labels = {"model": model, "step": step}
        bounds = (*map(latency_buckets.label_of, _BOUNDS), latency_buckets.INFINITE)
        self._buckets = [buckets.of({**labels, "le": bound}) for bound in bounds]
        self._total, self._count = total.of(labels), count.of(labels)
        self.counted, self.seconds = [0] * len(bounds), 0.0

    def take(self) -> Callable[[], None] | None:
        """What has been counted since the last time: tells it; None for nothing. The caller holds the lock."""
        if not any(self.counted):
            return None
        counted, seconds = self.counted, self.seconds
        self.counted, self.seconds = [0] * len(counted), 0.0

        def tell() -> None:
            for counter, images in zip(self._buckets, accumulate(counted), strict=True):
                if images:
                    counter.increment(images)
            self._total.increment(seconds)
            self._count.increment(sum(counted))

        return tell


class StepHistograms:
    """Of one model process; a listener of its `StepTimes`.

    Args:
        model: its name in Triton: the ensemble's, and what it is in there.
        steps: the names of its steps, with its own: the whole is a step, too.
        whole: that one.
    """

    def __init__(self, model: str, steps: Sequence[str], whole: str) -> None:
        families = [
            LastingCounters(f"vfnet_step_seconds_{part}", f"Seconds of an image's steps in the models: {meaning}")
            for part, meaning in (
                ("bucket", "images that took no longer than `le`"),
                ("sum", "all together"),
                ("count", "images"),
            )
        ]
        ensemble = model.rpartition("_")[0]
        self._histograms = {step: _Histogram(families, ensemble, step) for step in steps}
        self._whole = whole
        self._lock, self._ends = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._tell_often, name="step histograms", daemon=True)
        self._thread.start()

    def told(self, image: ImageSteps) -> None:
        """Count an image that the model is done with; one without an answer is left out."""
        if image.error is None:
            for step in image.steps:
                self.count(step.name, step.seconds)
            self.count(self._whole, (image.ended - image.started) / 1e9)

    def count(self, step: str, seconds: float) -> None:
        """Count one step of an image; one that the model is not asked to tell is left out."""
        if (histogram := self._histograms.get(step)) is not None:
            with self._lock:
                histogram.counted[bisect_left(_BOUNDS, seconds)] += 1
                histogram.seconds += seconds

    def close(self) -> None:
        """Tell the rest."""
        self._ends.set()
        self._thread.join(_LAST_SECONDS)

    def _tell_often(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ends.wait(_TELL_EVERY_SECONDS)
            with self._lock:
                news = [tell for histogram in self._histograms.values() if (tell := histogram.take()) is not None]
            try:
                for tell in news:
                    tell()
            except Exception as error:
                pb_utils.Logger.log_warn(f"Triton no longer takes the times of steps: {error}")
                return
