"""The whole server: started, asked over gRPC, weighed, stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil
from PIL import Image

from vfnet_bench.network.agreement import FoundBox, boxes_in_pixels
from vfnet_bench.served_repository import serving
from vfnet_client.client import VFNetClient
from vfnet_load.process_memory import proportional_set_size
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.local_http import fetch


@dataclass(frozen=True)
class ServedDetector:
    """A ready server and a connection to it."""

    client: VFNetClient
    image: bytes
    """Encoded."""
    triton_version: str
    seconds_to_ready: float
    process: psutil.Process

    def latency(self) -> float:
        """Seconds from an encoded image to its detections."""
        started = perf_counter()
        self.client.detect(self.image)
        return perf_counter() - started

    def throughput(self, images: int) -> float:
        """Images per second over so many images, as many in flight as the connection was made for."""
        started = perf_counter()
        for outcome in self.client.detect_many([self.image] * images):
            outcome.result()
        return images / (perf_counter() - started)

    def detect(self, path: Path) -> list[FoundBox]:
        """In an image's file."""
        with Image.open(path) as image:
            width, height = image.size
        return boxes_in_pixels(self.client.detect(path.read_bytes()), width, height)

    def resident_bytes(self) -> int:
        """Memory of all processes of the server; pages that several share are counted once."""
        return sum(proportional_set_size(process) for process in (self.process, *self.process.children(recursive=True)))


@contextmanager
def serving_detector(root: Path, image: bytes, concurrency: int) -> Iterator[ServedDetector]:
    """Serve `root/repository`, with a log in `root`.

    Raises:
        ServerError: the server did not start; the message has its last words.
    """
    with serving(root / "repository", root) as served:
        url = served.endpoints.grpc_url
        with VFNetClient(url, concurrency=concurrency, timeout=None, retries=3) as client:
            version = _triton_version(served.endpoints)
            yield ServedDetector(client, image, version, served.seconds_to_ready, served.process)


def _triton_version(endpoints: Endpoints) -> str:
    return str(json.loads(fetch(f"{endpoints.http_url}/v2"))["version"])
