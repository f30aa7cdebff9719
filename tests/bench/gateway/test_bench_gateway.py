"""`vfnet bench gateway`: the whole of it, briefly; and the arithmetic."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from vfnet_bench.load import Load, measure
from vfnet_bench.sample_photo import sample_jpeg


@pytest.mark.served
def test_it_measures_both_ways(demo_repository: Path) -> None:
    command = [sys.executable, "-m", "vfnet_client", "bench", "gateway", f"--repository={demo_repository}"]
    options = ["--callers", "1", "3", "--seconds", "0.3", "--size=64x64", "--memory-requests=20"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| +(\d+) \| (direct gRPC|/score) +\|(?: +[\d.]+ \|){5}$", done.stdout, re.MULTILINE)
    assert rows == [("1", "direct gRPC"), ("1", "/score"), ("3", "direct gRPC"), ("3", "/score")]
    assert "memory over 20 requests" in done.stdout


@pytest.mark.served
def test_it_compares_the_ways_of_kserve(demo_repository: Path) -> None:
    command = [sys.executable, "-m", "vfnet_client", "bench", "gateway", f"--repository={demo_repository}", "--kserve"]
    options = ["--callers", "2", "--seconds", "0.3", "--size=64x64", "--rounds=2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^\| +2 \| (direct gRPC|gateway gRPC|gateway REST) +\|(?: +[\d.]+ \|){5}$", done.stdout, re.MULTILINE
    )
    assert rows == ["direct gRPC", "gateway gRPC", "gateway REST"]


def is_gateway(process: psutil.Process) -> bool:
    try:
        return "gateway" in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.served
def test_killed_it_leaves_no_server_behind(demo_repository: Path) -> None:
    command = [sys.executable, "-m", "vfnet_client", "bench", "gateway", f"--repository={demo_repository}"]
    with subprocess.Popen(
        [*command, "--seconds=60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as benchmark:
        try:
            started: list[psutil.Process] = []
            deadline = time.monotonic() + 90
            while not any(map(is_gateway, started)):
                assert benchmark.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
                started = psutil.Process(benchmark.pid).children(recursive=True)
        finally:
            benchmark.kill()
    _, alive = psutil.wait_procs(started, timeout=45)
    assert not alive


def test_percentiles_are_nearest_ranks() -> None:
    load = Load(callers=1, seconds=2.0, answers=101, latencies=[float(i) for i in range(101)])
    assert (load.percentile(0), load.percentile(50), load.percentile(99), load.percentile(100)) == (0, 50, 99, 100)
    assert load.rate == 50.5


def test_calls_longer_than_what_counts_still_have_their_rate() -> None:
    """Each of four callers is answered at 1.5 and at 3 s; what counts is from 0.75 to 2.25 s."""

    async def call() -> None:
        await asyncio.sleep(1.5)

    load = asyncio.run(measure([call] * 4, seconds=1.5, warm_up=0.75))
    assert load.answers == 4
    assert load.rate == pytest.approx(4 / 1.5)
    assert len(load.latencies) == 4


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240), (1600, 1200)])
def test_the_sample_is_a_readable_jpeg_of_the_size_asked_for(width: int, height: int) -> None:
    encoded = sample_jpeg(width, height, 200_000)
    assert len(encoded) == 200_000
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", (width, height))
