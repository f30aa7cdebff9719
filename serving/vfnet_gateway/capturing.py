"""Offers answered images to a capture store, where there is one and their caller does not mind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter, Gauge

from vfnet_capture.captured_image import DISAGREEMENT
from vfnet_capture.messages import DROP_REASONS, DROPPED, HOLDS, KEPT, REMOVED, TROUBLE, WELL, Offer
from vfnet_capture.selection import Selection
from vfnet_capture.sending import Sender
from vfnet_capture.settings import CaptureSettings
from vfnet_client.detection_options import DetectionOptions
from vfnet_gateway.metrics import GatewayMetrics

CAPTURE_HEADER = "x-vfnet-capture"
"""A caller's word on its images. `yes` is as good as none. Every other value says that they are not kept: who writes it
in a way that is not known here more likely means that."""
_YES = "yes"
RESTRICTED = "restricted"
"""Why an image was not kept: its caller chose classes, a number of boxes or an IoU, so that boxes may be missing."""

Note = Callable[[str, str], None]


class Capture:
    """What one gateway keeps. Made, started and stopped by one event loop.

    Args:
        note: takes a level and a line for the log.
    """

    def __init__(self, settings: CaptureSettings, metrics: GatewayMetrics, note: Note) -> None:
        self._selection, self._note = Selection(settings), note
        self._of_disagreements = settings.disagreements
        self._sender = Sender(settings, self._hear)
        registry = metrics.registry
        self._kept = Counter("vfnet_gateway_captured_images", "Images that were kept, by reason; one may have several.",
                             ["reason"], registry=registry)  # fmt: skip
        self._dropped = Counter("vfnet_gateway_capture_dropped_images", "Images that should have been kept, by what "
                                "was in the way.", ["reason"], registry=registry)  # fmt: skip
        self._removed = Counter("vfnet_gateway_capture_removed_images", "Kept images that were removed, by the bound "
                                "that they were beyond.", ["bound"], registry=registry)  # fmt: skip
        self._images, self._bytes = (
            Gauge(f"vfnet_gateway_capture_store_{what}", f"In the store: {meaning}.", registry=registry,
                  multiprocess_mode="livemax")
            for what, meaning in (("images", "images"), ("bytes", "bytes of images and records"))
        )  # fmt: skip
        self._is_well = Gauge("vfnet_gateway_capture_works", "0 while captured images cannot be written.",
                              registry=registry, multiprocess_mode="livemin")  # fmt: skip
        self._is_well.set(1)
        for reason in (*DROP_REASONS, RESTRICTED):
            self._dropped.labels(reason)

    def start(self) -> None:
        """Begin."""
        self._sender.start()

    async def stop(self, patience: float) -> None:
        """Have what waits kept, for at most so many seconds."""
        await self._sender.stop(patience)

    def of_a_request(self, headers: Mapping[str, str], request_id: str, deployment: str) -> RequestCapture | None:
        """What its images are offered to; None where its caller does not want them kept."""
        if headers.get(CAPTURE_HEADER, _YES).strip().lower() != _YES:
            return None
        return RequestCapture(self, request_id, deployment)

    def consider(self, capture: RequestCapture, image: bytes, detections: bytes, options: DetectionOptions) -> bool:
        """Keep an image if the rules say so; whether they do."""
        reasons = self._selection.reasons(detections)
        if reasons:
            self._offer(capture, image, detections, options, reasons)
        return bool(reasons)

    def disagreed(self, capture: RequestCapture, image: bytes, detections: bytes, options: DetectionOptions) -> None:
        """Another deployment has answered an image differently, which was not kept yet."""
        if self._of_disagreements:
            self._offer(capture, image, detections, options, (DISAGREEMENT,))

    def _offer(
        self,
        capture: RequestCapture,
        image: bytes,
        detections: bytes,
        options: DetectionOptions,
        reasons: tuple[str, ...],
    ) -> None:
        if options.restricts:  # what is missing because nobody asked for it would be learnt as not being there
            self._dropped.labels(RESTRICTED).inc()
            return
        threshold = options.score_threshold
        self._sender.offer(
            Offer(image, detections, capture.request_id, capture.deployment, threshold, reasons, time.time())
        )

    def _hear(self, message: list[Any]) -> None:
        match message:
            case [str(kind), list(reasons)] if kind == KEPT:
                for reason in reasons:
                    self._kept.labels(reason).inc()
            case [str(kind), str(reason), int(count)] if kind == DROPPED:
                self._dropped.labels(reason).inc(count)
            case [str(kind), str(bound), int(count)] if kind == REMOVED:
                self._removed.labels(bound).inc(count)
            case [str(kind), int(images), int(size)] if kind == HOLDS:
                self._images.set(images)
                self._bytes.set(size)
            case [str(kind), str(sentence)] if kind == TROUBLE:
                self._is_well.set(0)
                self._note("WARNING", f"{sentence}; requests are answered all the same")
            case [str(kind)] if kind == WELL:
                self._is_well.set(1)
                self._note("INFO", "captured images are written again")


@dataclass(frozen=True, slots=True)
class RequestCapture:
    """One request whose images may be kept."""

    capture: Capture
    request_id: str
    deployment: str

    def consider(self, image: bytes, detections: bytes, options: DetectionOptions) -> bool:
        """See `Capture.consider`."""
        return self.capture.consider(self, image, detections, options)

    def disagreed(self, image: bytes, detections: bytes, options: DetectionOptions) -> None:
        """See `Capture.disagreed`."""
        self.capture.disagreed(self, image, detections, options)
