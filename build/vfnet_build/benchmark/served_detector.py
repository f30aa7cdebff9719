"""The whole server: started, asked over gRPC, weighed, stopped."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil
from PIL import Image

from vfnet_build.benchmark.agreement import FoundBox, boxes_in_pixels
from vfnet_build.benchmark.resident_memory import resident_bytes
from vfnet_client.client import VFNetClient
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.installation import ServerError
from vfnet_serve.starting import start_server
from vfnet_serve.triton_process import Endpoints

_EXIT_TIMEOUT = 10  # seconds; nothing worth waiting for is in flight
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class ServedDetector:
    """A ready server and a connection to it."""

    client: VFNetClient
    image: bytes
    """Encoded."""
    triton_version: str
    seconds_to_ready: float
    """From starting `vfnet serve` to its being ready."""
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
        return sum(resident_bytes(process) for process in (self.process, *self.process.children(recursive=True)))


@contextmanager
def serving(root: Path, image: bytes, concurrency: int) -> Iterator[ServedDetector]:
    """Serve `root/repository` on free ports, with a log in `root`.

    Raises:
        ServerError: the server did not start; the message has its last words.
    """
    folder, endpoints = StateFolder(root), Endpoints("127.0.0.1", *free_ports(3))
    try:
        started = perf_counter()
        start_server(folder, endpoints, [f"--exit-timeout={_EXIT_TIMEOUT}"], is_ours=True)
        seconds_to_ready = perf_counter() - started
        running = folder.server.find()
        if running is None:
            words = folder.server.log.read_text(errors="replace")
            raise ServerError(f"the server ended as soon as it was ready:\n{words}")
        with VFNetClient(endpoints.grpc_url, concurrency=concurrency, timeout=None) as client:
            yield ServedDetector(client, image, _triton_version(endpoints), seconds_to_ready, running.process)
    finally:
        with _signals_ignored():  # an impatient second Ctrl-C would leave the server behind
            folder.server.stop()


def _triton_version(endpoints: Endpoints) -> str:
    with urllib.request.urlopen(f"{endpoints.http_url}/v2", timeout=10) as answer:
        return str(json.load(answer)["version"])


@contextmanager
def _signals_ignored() -> Iterator[None]:
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
