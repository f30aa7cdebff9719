"""What is counted by deployment while a public model is split: the evidence on which `vfnet canary` decides."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vfnet_client.exceptions import FatalImageError, InvalidImageError, InvalidOptionsError, ServerBusyError
from vfnet_gateway.traffic.answer_agreement import Agreement
from vfnet_gateway.traffic.split import TrafficSplit

_SECONDS = tuple(round(0.001 * 2 ** (step / 2), 5) for step in range(33))
"""From 1 ms to 65 s, each 1.41 times the one before: fine enough to compare two deployments by."""
_BOXES = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SCORE_BANDS = ("0.0", *(f"{edge:.1f}" for edge in _SCORES))
"""Label values of `vfnet_gateway_deployment_boxes_total`: where a band of scores begins."""


class DeploymentMetrics:
    """The metrics, in a registry of the gateway's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"vfnet_gateway_{name}", meaning, ["deployment", *labels], registry=registry)

        def histogram(name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(f"vfnet_gateway_{name}", meaning, ["deployment"], buckets=buckets, registry=registry)

        self.requests = counter("deployment_requests", "Requests that a split sent to a deployment.")
        self.images = counter("deployment_images", "Images: answered, unreadable, busy or failed.", "outcome")
        self.seconds = histogram("deployment_image_seconds", "For the answer to an image that has a place.", _SECONDS)
        self.boxes_per_image = histogram("deployment_boxes_per_image", "Boxes of an answered image.", _BOXES)
        self.boxes = counter("deployment_boxes", "Boxes, by where their band of scores begins.", "score_from")
        self.copies = counter("mirrored_images", "Copies: compared, dropped or failed.", "outcome")
        self.copy_seconds = histogram("mirrored_image_seconds", "For the answer to a copy.", _SECONDS)
        self.agreement = counter(
            "agreement_boxes",
            "Boxes of compared images, of either answer: in both, in both with another_class, or in one.",
            "found",
        )
        self._percent = Gauge(
            "vfnet_gateway_traffic_percent", "Share of a public model's requests.", ["model", "deployment"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._mirror_percent = Gauge(
            "vfnet_gateway_mirror_percent", "Share of the live one's images that are copied.", ["model", "deployment"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._in_flight = Gauge(
            "vfnet_gateway_deployment_images_in_flight", "Images that have a place in a deployment.", ["deployment"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._counts: dict[str, DeploymentCounts] = {}
        self._watched: dict[str, Callable[[], float]] = {}

    def of(self, deployment: str) -> DeploymentCounts:
        """What is counted of one; the same object each time."""
        if deployment not in self._counts:
            self._counts[deployment] = DeploymentCounts(self, deployment)
        return self._counts[deployment]

    def watch(self, deployment: str, in_flight: Callable[[], float]) -> None:
        """A gauge of the images in a deployment, set by `refresh`."""
        self._watched[deployment] = in_flight

    def refresh(self) -> None:
        """Set the gauges that are watched, before they are told."""
        for deployment, in_flight in self._watched.items():
            self._in_flight.labels(deployment).set(in_flight())

    def show(self, model: str, old: TrafficSplit | None, new: TrafficSplit | None) -> None:
        """The shares that are in force from now on."""
        for gauge, before, now in (
            (self._percent, old and old.share, new and new.share),
            (self._mirror_percent, old and old.mirror, new and new.mirror),
        ):
            for name in set(before or ()) - set(now or ()):
                gauge.labels(model, name).set(0)  # the files by which several processes share it keep what was there
                gauge.remove(model, name)
            for name, percent in (now or {}).items():
                gauge.labels(model, name).set(percent)


class DeploymentCounts:
    """Of one deployment."""

    def __init__(self, metrics: DeploymentMetrics, name: str) -> None:
        self._requests = metrics.requests.labels(name)
        self._images = {
            outcome: metrics.images.labels(name, outcome) for outcome in ("answered", "unreadable", "busy", "failed")
        }
        self._seconds, self._boxes_per_image = metrics.seconds.labels(name), metrics.boxes_per_image.labels(name)
        self._bands = [metrics.boxes.labels(name, band) for band in SCORE_BANDS]
        self._copies = {outcome: metrics.copies.labels(name, outcome) for outcome in ("compared", "dropped", "failed")}
        self._copy_seconds = metrics.copy_seconds.labels(name)
        self._agreement = {
            found: metrics.agreement.labels(name, found) for found in ("both", "another_class", "one")
        }  # fmt: skip

    def requested(self) -> None:
        """A request is for it."""
        self._requests.inc()

    def answered(self, seconds: float, detections: bytes) -> None:
        """An image was answered with these `DETECTIONS`."""
        self._images["answered"].inc()
        self._seconds.observe(seconds)
        scores = _scores(detections)
        self._boxes_per_image.observe(len(scores))
        for band, count in Tally(bisect_right(_SCORES, score) for score in scores).items():
            self._bands[band].inc(count)

    def refused(self, error: Exception) -> None:
        """An image was not answered. An image that kills the model counts as failed: another deployment may live."""
        if isinstance(error, ServerBusyError):
            self._images["busy"].inc()
        elif isinstance(error, InvalidOptionsError):
            pass  # a caller's mistake, or what it cannot choose here: says nothing of how the deployment does
        elif isinstance(error, InvalidImageError) and not isinstance(error, FatalImageError):
            self._images["unreadable"].inc()
        else:
            self._images["failed"].inc()

    def dropped_copy(self) -> None:
        """There was no room for a copy."""
        self._copies["dropped"].inc()

    def failed_copy(self, error: Exception) -> None:
        """A copy was not answered. That Triton has no room for one says nothing of the deployment."""
        self._copies["dropped" if isinstance(error, ServerBusyError) else "failed"].inc()

    def compared(self, seconds: float, agreement: Agreement) -> None:
        """A copy was answered, and compared with the live one's answer."""
        self._copies["compared"].inc()
        self._copy_seconds.observe(seconds)
        self._agreement["both"].inc(agreement.both)
        self._agreement["another_class"].inc(agreement.another_class)
        self._agreement["one"].inc(agreement.one)


def _scores(detections: bytes) -> list[float]:
    """Empty where the answer is not what it should be, which its caller is going to find out."""
    try:
        found: Any = orjson.loads(detections)["boxes"]
        return [box["score"] for box in found]
    except (ValueError, KeyError, TypeError):
        return []
