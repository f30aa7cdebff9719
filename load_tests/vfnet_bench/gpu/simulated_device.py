"""A GPU that is only a clock, behind the real server and the real engine: how long it would wait between batches.

What happens on the host is done for real: Triton's copies, the engine's batches, the copy into the memory that would be
uploaded. The upload and the network are times on one clock, which all instances share as they would share the GPU; who
waits for a batch sleeps until then.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_bench.load import Call, Load, measure
from vfnet_bench.served_repository import serving
from vfnet_build.engines import pytorch
from vfnet_build.model_configuration import read_configuration, write_configuration
from vfnet_build.repository import write_repository
from vfnet_model.manifest import BuildOptions, Manifest

CANVAS = (800, 1088)
_ROW = 3 * CANVAS[0] * CANVAS[1]
"""Bytes of an image."""
_CLOCK = struct.Struct("=ddqq")
_MODEL = '''

import fcntl, os, struct, time

import numpy

from vfnet_runtime.engines import torch_engine

CLOCK = struct.Struct("=ddqq")
PATH, COMPUTE, UPLOAD = {path!r}, {compute!r}, {upload!r}


class SimulatedRunner:
    """Stands for CudaRunner."""

    def __init__(self, detector):
        self.rows = len(detector.strides) * detector.test.nms_pre
        self.buffers, self.started = [numpy.empty({largest}, numpy.uint8) for _ in range(2)], 0

    def start(self, batch, images):
        size = len(images) * 3 * batch.canvas[0] * batch.canvas[1]
        pixels = self.buffers[self.started % 2][:size].reshape(len(images), *batch.canvas, 3)
        self.started += 1
        torch_engine.place(pixels, numpy.empty((len(images), 2), numpy.int32), images)
        ready = time.monotonic() + UPLOAD * len(images)
        with open(PATH, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            busy_until, idle, batches, computed = CLOCK.unpack(file.read(CLOCK.size))
            idle += max(0.0, ready - busy_until) if batches else 0.0
            busy_until = max(ready, busy_until) + COMPUTE * batch.size
            file.seek(0)
            file.write(CLOCK.pack(busy_until, idle, batches + 1, computed + len(images)))
        return busy_until, len(images)

    def finish(self, ticket):
        until, count = ticket
        time.sleep(max(0.0, until - time.monotonic()))
        boxes = numpy.zeros((1, self.rows, 4), numpy.float32)
        scores, labels = numpy.zeros((1, self.rows), numpy.float32), numpy.zeros((1, self.rows), numpy.int32)
        return [(boxes, scores, labels)] * count


torch_engine.CpuRunner = SimulatedRunner
'''


@dataclass(frozen=True)
class Device:
    """What is simulated."""

    compute_ms: float
    """Of an image."""
    upload_ms: float
    """Of an image: 2.6 MB over PCIe."""
    instances: int
    batch_size: int
    """Images that Triton hands to an instance at once."""


@dataclass(frozen=True)
class Occupation:
    """How the device was used while callers always waited."""

    idle_ms: float
    """Between two runs of the network, on average."""
    images_a_run: float
    images_a_second: float
    p50_ms: float

    def share(self, compute_ms: float) -> float:
        """Of a device that takes so long for an image: busy, if the host's part stays as long as it is."""
        busy = compute_ms * self.images_a_run
        return busy / (busy + self.idle_ms)


def occupation(device: Device, callers: int, seconds: float, folder: Path) -> Occupation:
    """Serve with the simulated device, and ask the detector itself, in turn.

    Raises:
        ServerError: the server does not become ready.
    """
    folder.mkdir()
    clock = folder / "clock"
    clock.write_bytes(_CLOCK.pack(0.0, 0.0, 0, 0))
    repository = _repository(device, clock, folder)
    options = ["--gpus=none", f"--batch-size={device.batch_size}", "--queue-delay=1", "--max-waiting=1000"]
    with serving(repository, folder, options) as server:
        load, before, after = asyncio.run(_ask(server.endpoints.grpc_url, callers, seconds, clock))
    idle, runs, images = (late - early for late, early in zip(after[1:], before[1:], strict=True))
    return Occupation(1e3 * idle / max(1, runs), images / max(1, runs), load.rate, 1e3 * load.percentile(50))


def _repository(device: Device, clock: Path, folder: Path) -> Path:
    """The small network's, whose detector has the simulated device in place of the network."""
    conditions = Conditions(_cpu(), folder, folder, rehearsal=True)
    network = stock_network(conditions)
    repository = folder / "repository"
    manifest = Manifest("", "bench-instances", True, network.config.classes, BuildOptions("torch", "f32"), "", {})
    write_repository(repository, network.config, manifest, lambda directory: pytorch.export(network, directory))
    detector = repository / "vfnet_detector"
    model = detector / "1" / "torch_model.py"
    code = _MODEL.format(
        path=str(clock), compute=device.compute_ms / 1e3, upload=device.upload_ms / 1e3, largest=8 * _ROW
    )
    model.write_text(model.read_text() + code)
    for path in (detector / "config.pbtxt", detector / "configs" / "torch.pbtxt"):
        config = read_configuration(path)
        config.instance_group[0].count = device.instances
        config.parameters["canvases"].string_value = "{}x{}".format(*CANVAS)
        config.parameters["img_scale"].string_value = "1333,800"  # the pixels sent are those of a photo
        write_configuration(config, path)
    return repository


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


async def _ask(url: str, callers: int, seconds: float, clock: Path) -> tuple[Load, Any, Any]:
    """The load, and the clock before and after it."""
    import tritonclient.grpc.aio as grpc

    inputs = []
    for name, values in (
        ("PIXELS", np.zeros((1, *CANVAS, 3), np.uint8)),
        ("VALID_SHAPE", np.array([[800, 1066]], np.int32)),
    ):
        kind = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32"}[values.dtype]
        tensor = grpc.InferInput(name, values.shape, kind)
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    seen = list[Any]()
    async with grpc.InferenceServerClient(url.removeprefix("grpc://")) as client:

        async def call() -> None:
            await client.infer("vfnet_detector", inputs)

        async def look(warm_up: float) -> None:
            for pause in (warm_up, seconds):
                await asyncio.sleep(pause)
                seen.append(_CLOCK.unpack(clock.read_bytes()))

        calls: list[Call] = [call] * callers
        looking = asyncio.create_task(look(1.0))
        began = monotonic()
        load = await measure(calls, seconds, warm_up=1.0)
        await looking
        assert monotonic() - began >= seconds
    return load, *seen
