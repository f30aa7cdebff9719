"""What an actor detects with: servers, or a network that it holds itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vfnet_batch.image_reading import stored_size
from vfnet_batch.served_detector import ServedDetector
from vfnet_batch.settings import ServerSettings
from vfnet_batch.shard_scoring import Detector
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.detections import Detections
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.model_names import MODEL
from vfnet_client.safe_text import printable_lines


class DetectorRecipe(Protocol):
    """Travels to an actor and becomes a detector there."""

    def open(self, concurrency: int, options: DetectionOptions) -> Detector:
        """To be called inside the event loop that will use it."""
        ...


@dataclass(frozen=True)
class AskServers:
    """Every actor asks whichever of the servers is free."""

    servers: ServerSettings

    def open(self, concurrency: int, options: DetectionOptions) -> Detector:
        """See `DetectorRecipe.open`."""
        return ServedDetector(self.servers, concurrency, options, _say)


@dataclass(frozen=True)
class HoldRepository:
    """Every actor computes a built repository's network with OpenVINO, on CPUs."""

    repository: Path
    """On every machine of the cluster."""
    threads: int
    model: str = MODEL
    """Of the repository's, which may be several."""

    def open(self, concurrency: int, options: DetectionOptions) -> Detector:
        """See `DetectorRecipe.open`."""
        from vfnet_model.detectors.repository_detector import RepositoryDetector

        held = RepositoryDetector(self.repository, self.threads, self.model)
        # Options that the model refuses are so with each image: an error here would come out of Ray in its own words.
        return InProcessDetector(lambda encoded: held.with_options(options).detect(encoded), concurrency)


@dataclass(frozen=True)
class HoldCheckpoint:
    """Every actor computes a checkpoint's network with torch: on the GPU that Ray gave it, else on CPUs."""

    checkpoint: str
    """A path on every machine of the cluster, a URL, `coco` or `demo`."""

    def open(self, concurrency: int, options: DetectionOptions) -> Detector:  # noqa: ARG002
        """See `DetectorRecipe.open`. One image at a time."""
        from vfnet_model.checkpoints.resolve import open_checkpoint
        from vfnet_model.detectors.checkpoint_detector import CheckpointDetector, load_network
        from vfnet_model.detectors.image_detections import as_fractions

        held = CheckpointDetector(load_network(open_checkpoint(self.checkpoint)))

        def detect(encoded: bytes) -> Detections:
            found, size = held.with_options(options).detect(encoded), stored_size(encoded)
            if size is None:
                raise InvalidImageError("its size cannot be read from its header")
            return as_fractions(found, held.classes, size)

        return InProcessDetector(detect, 1)


class InProcessDetector:
    """A function of this process as a `vfnet_batch.shard_scoring.Detector`."""

    def __init__(self, detect: Callable[[bytes], Detections], threads: int) -> None:
        self._detect = detect
        self._threads = ThreadPoolExecutor(threads, "vfnet-batch-detecting")

    async def detect(self, encoded: bytes) -> Detections:
        """See `Detector.detect`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._detect, encoded)

    async def close(self) -> None:
        """See `Detector.close`."""
        self._threads.shutdown(cancel_futures=True)


def _say(message: str) -> None:
    print(printable_lines(f"vfnet batch: {message}"), file=sys.stderr, flush=True)
