"""How far the images of now are from a reference, as gauges by deployment: `vfnet gateway --drift-reference`.

A few images a second are looked at, on a thread of its own and one at a time, and never more than a twentieth of the
time, so that the cost has a bound however many images come, and of whatever size and format. What is kept of one is in
which bins it falls.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge

from vfnet_client.detection_options import DetectionOptions
from vfnet_profile.features import FoundBox, Observation, observe
from vfnet_profile.profile import Profile, read_profile
from vfnet_profile.window import Window

_EVERY_S = 0.2
"""An image is looked at so often at most: five a second fill a window of a thousand in three minutes."""
_REST = 19
"""So many times as long as the last image took, none is looked at: a PNG of 12 megapixels takes 0.4 s."""


class DriftWatch:
    """The metrics, in a registry of the gateway's, and a window for each deployment. To be used by one event loop.

    In several processes each has windows of its own, and the gauge tells of the one that is furthest away.
    """

    def __init__(self, reference: Profile, window: int, registry: CollectorRegistry) -> None:
        self.reference, self._size = reference, window
        self.effect = Gauge(
            "vfnet_gateway_drift_effect",
            "How far the latest images are from the reference: 0 the same; of Cramer's V, 1 nothing in common.",
            ["deployment", "feature", "measure"], registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self.window_images = Gauge(
            "vfnet_gateway_drift_window_images", "Images that the effects are of.", ["deployment"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self.values = Counter(
            "vfnet_gateway_drift_values", "Values of the images looked at, by the end of their bin, or by class.",
            ["deployment", "feature", "bin"], registry=registry,
        )  # fmt: skip
        self.images = Counter(
            "vfnet_gateway_drift_images", "Images looked at.", ["deployment"], registry=registry
        )  # fmt: skip
        self._deployments: dict[str, DeploymentDrift] = {}
        self._thread = ThreadPoolExecutor(1, "drift")

    @classmethod
    def started(cls, file: Path | None, window: int, registry: CollectorRegistry) -> DriftWatch | None:
        """Of a reference's file; None without one. Raises ProfileError: it is none."""
        return None if file is None else cls(read_profile(file), window, registry)

    def of(self, deployment: str) -> DeploymentDrift:
        """What is known of one; the same object each time."""
        if deployment not in self._deployments:
            self._deployments[deployment] = DeploymentDrift(self, deployment, Window(self.reference, self._size))
        return self._deployments[deployment]

    def refresh(self) -> None:
        """Set the gauges, before they are told."""
        for deployment in self._deployments.values():
            deployment.tell()

    async def observed(self, image: bytes, detections: bytes) -> Observation | None:
        """Measure one image, away from the event loop; None where the answer is not what it should be."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, _observe, image, detections, self.reference.score_from
        )

    def stop(self) -> None:
        """Look at nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class DeploymentDrift:
    """Of one deployment."""

    def __init__(self, watch: DriftWatch, name: str, window: Window) -> None:
        self._watch, self._name, self._window = watch, name, window
        self._bins = {feature: bins.names for feature, bins in watch.reference.bins.items()}
        self._images = watch.images.labels(name)
        self._counters: dict[tuple[str, int], Any] = {}
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def wants(self, options: DetectionOptions) -> bool:
        """Whether the next image is to be offered: not where its caller wants some boxes only, or others."""
        threshold = options.score_threshold
        if options.restricts or (threshold is not None and threshold > self._watch.reference.score_from):
            return False
        return self._task is None and monotonic() >= self._next

    def offer(self, image: bytes, detections: bytes) -> None:
        """Look at an answered image. Returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._look(image, detections))

    async def _look(self, image: bytes, detections: bytes) -> None:
        began = monotonic()
        try:
            observation = await self._watch.observed(image, detections)
            if observation is not None:
                self._count(observation)
        except RuntimeError:  # the gateway stops
            pass
        finally:
            now = monotonic()
            self._next = max(began + _EVERY_S, now + _REST * (now - began))
            self._task = None

    def _count(self, observation: Observation) -> None:
        self._images.inc()
        for feature, place in self._window.add(observation):
            key = feature, place
            if key not in self._counters:
                self._counters[key] = self._watch.values.labels(self._name, feature, self._bins[feature][place])
            self._counters[key].inc()

    def tell(self) -> None:
        """Set the gauges."""
        self._watch.window_images.labels(self._name).set(self._window.images)
        for feature, effect in self._window.effects().items():
            self._watch.effect.labels(self._name, feature, "cramers_v").set(effect.cramers_v)
            self._watch.effect.labels(self._name, feature, "psi").set(effect.psi)


def _observe(image: bytes, detections: bytes, score_from: float) -> Observation | None:
    try:
        boxes = [
            FoundBox(
                str(found["label"]),
                found["box"]["bottomX"] - found["box"]["topX"],
                found["box"]["bottomY"] - found["box"]["topY"],
                float(found["score"]),
            )
            for found in orjson.loads(detections)["boxes"]
        ]
    except (ValueError, KeyError, TypeError):  # which its caller is going to find out
        return None
    return observe(image, boxes, score_from=score_from)
