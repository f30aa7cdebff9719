"""A batch against the server's best: the same small images, as many in flight, in turns."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from vfnet_batch.errors import BatchError
from vfnet_bench.load import measure
from vfnet_client.transport import open_transport
from vfnet_load.process_memory import proportional_set_size

_IMAGES_A_FOLDER = 1000
_TIMEOUT_S = 120.0
_LOOK_S = 0.05


@dataclass(frozen=True)
class Rate:
    """What was measured of one contestant in one round."""

    images_per_s: float
    cpu_ms: float
    """Of the asking process, an image."""


def write_small_images(folder: Path, count: int) -> list[bytes]:
    """JPEGs of 64 x 48 in folders of a thousand; the first hundred of them."""
    random, kept = np.random.default_rng(0), list[bytes]()
    for i in range(count):
        pixels = random.integers(0, 255, (3, 4, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).resize((64, 48)).save(out, "JPEG")
        path = folder / f"{i // _IMAGES_A_FOLDER:04}" / f"{i:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())
        if len(kept) < 100:
            kept.append(out.getvalue())
    return kept


def servers_best(url: str, images: list[bytes], concurrency: int, seconds: float) -> Rate:
    """Callers that have their images in memory and do nothing with the answers."""
    following = cycle(images)

    async def load() -> Rate:
        transport = open_transport(url)

        async def call() -> None:
            await transport.infer(next(following), timeout=_TIMEOUT_S)

        before, started = time.process_time(), time.perf_counter()
        try:
            done = await measure([call] * concurrency, seconds, 0.0)
            elapsed = time.perf_counter() - started  # with the last answers, as a batch's
        finally:
            await transport.close()
        count = len(done.latencies)
        return Rate(count / elapsed, 1000 * (time.process_time() - before) / count)

    return asyncio.run(load())


def batch_rate(
    source: Path, output: Path, url: str, concurrency: int, look: Callable[[int, int], None] | None = None
) -> Rate:
    """One whole `vfnet batch` in a process of its own.

    Args:
        look: takes now and then the finished images and the process's resident bytes.

    Raises:
        BatchError: it failed; it has said why.
    """
    command = [sys.executable, "-m", "vfnet", "batch", str(source), f"--output={output}", f"--server={url}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen([*command, f"--concurrency={concurrency}"], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if look is not None and (output / "shards").is_dir():
                look(_finished(output), proportional_set_size(psutil.Process(process.pid)))
            time.sleep(_LOOK_S)
    if process.returncode != 0:
        raise BatchError("the batch failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = json.loads((output / "summary.json").read_text())["last_run"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Rate(run["images_per_s"], 1000 * cpu / run["images"])


def _finished(output: Path) -> int:
    last = max((path.stem for path in (output / "shards").glob("part-*")), default="part-0--1")
    return int(last.rpartition("-")[2]) + 1
