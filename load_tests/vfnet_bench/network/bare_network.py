"""The network alone: OpenVINO as the engine sets it up, with nothing before, after or between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import openvino as ov

from vfnet_bench.progress import Progress
from vfnet_model.served_repository import served_parameters
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine
from vfnet_runtime.processor_cores import available_cores

_CALIBRATION_PASSES = 2
_CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class Concurrency:
    """A way to keep OpenVINO busy."""

    streams: int
    requests: int
    """In flight at once."""

    def __str__(self) -> str:
        return " with ".join((_count(self.streams, "stream"), _count(self.requests, "request")))


class BareNetwork:
    """`vfnet_detector`'s network of a built repository, on one image's tensors."""

    def __init__(self, repository: Path, pixels: Any, valid_shape: Any) -> None:
        """
        Args:
            pixels: uint8 [1, H, W, 3].
            valid_shape: int32 [1, 2].
        """
        self._repository = repository
        self._inputs = [pixels, valid_shape]
        self._parameters = served_parameters(repository, "vfnet_detector")
        self._compiled: dict[int, Any] = {}
        self._queues: dict[Concurrency, Any] = {}
        cores = available_cores()
        self.threads = int(self._parameters["inference_num_threads"]) or cores
        self.precision = self._parameters["inference_precision"]
        self.as_served = self._as_served()
        self._request = self._compiled[self.as_served.streams].create_infer_request()

    def latency(self) -> float:
        """Seconds of one inference."""
        started = perf_counter()
        self._request.infer(self._inputs, share_inputs=True, share_outputs=True)
        return perf_counter() - started

    def throughput(self, concurrency: Concurrency, images: int) -> float:
        """Images per second over so many images."""
        queue = self._queue(concurrency)
        started = perf_counter()
        for _ in range(images):
            queue.start_async(self._inputs, share_inputs=True)
        queue.wait_all()
        return images / (perf_counter() - started)

    def find_best_concurrency(self, progress: Progress) -> Concurrency:
        """The fastest of the usual ways; the others' compiled networks are dropped."""
        ways = usual_ways(self.threads, self.as_served)
        best: dict[Concurrency, float] = dict.fromkeys(ways, 0.0)
        for _ in range(_CALIBRATION_PASSES):
            for way in ways:
                images = max(_CALIBRATION_IMAGES, 2 * way.requests)
                best[way] = max(best[way], self.throughput(way, images))
        for way, images_per_second in best.items():
            progress.say(f"bare network, {way}: {images_per_second:.3f} images/s")
        winner = max(best, key=best.__getitem__)
        self._queues = {winner: self._queues[winner]}
        self._compiled = {streams: self._compiled[streams] for streams in (winner.streams, self.as_served.streams)}
        return winner

    def _as_served(self) -> Concurrency:
        network = self._engine(streams=int(self._parameters["num_streams"])).network
        self._compiled[network.streams] = network.compiled_model
        return Concurrency(network.streams, network.slots)

    def _queue(self, concurrency: Concurrency) -> Any:
        if concurrency not in self._queues:
            if concurrency.streams not in self._compiled:
                self._compiled[concurrency.streams] = self._engine(concurrency.streams).network.compiled_model
            queue = ov.AsyncInferQueue(self._compiled[concurrency.streams], concurrency.requests)
            for _ in range(concurrency.requests):  # each allocates at its first inference
                queue.start_async(self._inputs, share_inputs=True)
            queue.wait_all()
            self._queues[concurrency] = queue
        return self._queues[concurrency]

    def _engine(self, streams: int) -> Any:
        """The engine that serves, for the settings it gives OpenVINO; 0 streams: as many as it chooses."""
        path = self._repository / "vfnet_detector" / "1" / "network.xml"
        return OpenVINOEngine(path, self.precision, streams, self.threads)


def usual_ways(threads: int, as_served: Concurrency) -> Sequence[Concurrency]:
    """One image on all cores, the next waiting or not; one image per core, likewise; and as the engine does few."""
    ways = (
        Concurrency(1, 1),
        Concurrency(1, 2),
        Concurrency(threads, threads),
        Concurrency(threads, threads + 1),
        as_served,
    )
    return tuple(dict.fromkeys(ways))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
