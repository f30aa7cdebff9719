"""What the service levels are counted by: what became of each request that detects, and how long its images took.

The objectives and what they are compared with are rules of Prometheus: build/docker/prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

from vfnet_gateway.admission import Priority
from vfnet_gateway.request_record import RequestRecord
from vfnet_runtime import latency_buckets

ANSWERED, FAILED, BUSY, MISTAKEN, LEFT = OUTCOMES = ("answered", "failed", "busy", "mistaken", "left")
"""Answered; not, and it is our fault (500 to 504, or an image that ends the model's process); refused because all
places are taken; not, and it is the caller's; the caller left first. An image that nobody could read is an answer."""
_CALLER_LEFT, _BUSY, _UNREADABLE = 499, 429, 422


class ServiceLevels:
    """The metrics, in a registry of the gateway's.

    Every series is there from the start: Prometheus does not see the first step of one that begins with it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "vfnet_gateway_detections", "Requests that detect, by what became of them.", ["priority", "outcome"],
            registry=registry,
        )  # fmt: skip
        seconds = Histogram(
            "vfnet_gateway_image_seconds", "Of an answered image: waiting for a place, and its inference.",
            ["priority"], buckets=latency_buckets.SECONDS, registry=registry,
        )  # fmt: skip
        self._requests = {
            (priority, outcome): requests.labels(priority.name.lower(), outcome)
            for priority in Priority
            for outcome in OUTCOMES
        }
        self._seconds = {priority: seconds.labels(priority.name.lower()) for priority in Priority}

    def count(self, record: RequestRecord, status: int) -> None:
        """A request is over, with this status, HTTP's also of a call; what does not detect is left out.

        One record may stand for the requests of a stream, one after another: it is empty of each when it is counted.
        """
        if record.priority is not None:
            self._requests[record.priority, outcome_of(record, status)].inc()
        record.priority, record.has_failed_images = None, False

    @contextmanager
    def image(self, priority: Priority) -> Iterator[None]:
        """Around one image, from waiting for a place to its answer. What has none is left out."""
        began = perf_counter()
        yield
        self._seconds[priority].observe(perf_counter() - began)


def outcome_of(record: RequestRecord, status: int) -> str:
    """One of `OUTCOMES`."""
    if record.has_failed_images or status >= 500:
        return FAILED
    if status < 400 or status == _UNREADABLE:
        return ANSWERED
    return {_BUSY: BUSY, _CALLER_LEFT: LEFT}.get(status, MISTAKEN)
