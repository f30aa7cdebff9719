"""What capture costs: `python tests/gateway/measure_capture.py FOLDER PHOTOS`, on a machine that does nothing else.

A gateway that captures every image and one that captures none stand in front of the same Triton and take turns, so that
what else the machine does hits both. Printed is how much longer the median of a turn's answers is, with the interval
that holds 95 % of what resampling the turns gives.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2])]

import vfnet_process
from gateway_process import RunningGateway, running_gateway
from synthetic_checkpoint import write_synthetic_checkpoint
from triton_server import NO_OP, serving
from vfnet_bench.served_repository import with_fixed_time
from vfnet_build.building import build
from vfnet_model.manifest import BuildOptions

BLOCK = 20
"""Requests of a turn."""
OVERLOAD_MS = 100.0
"""What an image takes the detector: ten a second, so that a hundred a second are ten times too many."""


class Measurement:
    """Bodies, and requests with them."""

    def __init__(self, photos: Sequence[Path]) -> None:
        self.bodies = [_body(path.read_bytes()) for path in photos]

    async def timed(self, session: aiohttp.ClientSession, gateway: RunningGateway, number: int) -> tuple[int, float]:
        """Status and seconds of one request."""
        body = self.bodies[number % len(self.bodies)]
        began = time.perf_counter()
        headers = {"content-type": "application/json"}
        async with session.post(f"{gateway.address}/score", data=body, headers=headers) as reply:
            await reply.read()
            return reply.status, time.perf_counter() - began

    async def one_by_one(self, gateways: Sequence[RunningGateway], blocks: int) -> list[np.ndarray]:
        """Seconds [blocks, `BLOCK`] of requests to each, one at a time; the gateways take turns, a block each."""
        found: list[list[list[float]]] = [[] for _ in gateways]
        async with aiohttp.ClientSession() as session:
            for number in range(-1, blocks):
                for each in random.sample(range(len(gateways)), len(gateways)):
                    answers = [await self.timed(session, gateways[each], position) for position in range(BLOCK)]
                    assert {status for status, _ in answers} == {200}
                    if number >= 0:
                        found[each].append([seconds for _, seconds in answers])
                    await asyncio.sleep(0.1)  # what one leaves to be done does not meet the next
        return [np.array(each) for each in found]

    async def overload(
        self, gateway: RunningGateway, per_second: float, seconds: float
    ) -> tuple[list[float], int, int]:
        """Requests at a fixed rate, whatever becomes of them: seconds of the answered, refused, failed."""
        answered: list[float] = []
        counts = {"refused": 0, "failed": 0}

        async def one(session: aiohttp.ClientSession, number: int) -> None:
            status, took = await self.timed(session, gateway, number)
            if status == 200:
                answered.append(took)
            else:
                counts["refused" if status == 429 else "failed"] += 1

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            tasks, began = [], time.perf_counter()
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                tasks.append(asyncio.create_task(one(session, number)))
            await asyncio.gather(*tasks)
        return answered, counts["refused"], counts["failed"]


def _body(image: bytes) -> bytes:
    table = {"columns": ["image"], "data": [base64.b64encode(image).decode()]}
    return json.dumps({"input_data": table}).encode()


def difference(without: np.ndarray, with_it: np.ndarray) -> str:
    """How much longer, in percent: of the same image in the same turn, the median, and its interval by resampling."""
    shares = np.median(with_it, axis=1) / np.median(without, axis=1) - 1
    generator = np.random.default_rng(0)
    low, high = np.quantile(np.median(generator.choice(shares, (2000, len(shares))), axis=1), (0.025, 0.975))
    tails = [f"{1000 * np.quantile(each, 0.95):.1f}" for each in (without, with_it)]
    return (
        f"median {1000 * np.median(without):.2f} ms {np.median(shares):+.2%} [{low:+.2%}, {high:+.2%}], "
        f"95 % in {tails[0]} and {tails[1]} ms"
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A full file system of a megabyte; root may have one."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def store_size(store: Path) -> tuple[int, int]:
    """Images, and bytes of images and records."""
    images = sizes = 0
    for folder in ("images", "records"):
        if (store / folder).is_dir():
            for entry in os.scandir(store / folder):
                try:
                    sizes += entry.stat().st_size
                except FileNotFoundError:
                    continue
                images += folder == "images"
    return images, sizes


async def bounds(measurement: Measurement, gateway: RunningGateway, store: Path, requests: int) -> None:
    """Many requests, and the largest that the store ever was."""
    most = [0, 0]
    numbers = iter(range(requests))
    failed = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal failed
        for number in numbers:
            status, _ = await measurement.timed(session, gateway, number)
            failed += status != 200

    async def look() -> None:
        while True:
            images, size = await asyncio.to_thread(store_size, store)
            most[:] = max(most[0], images), max(most[1], size)
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(4)))
    looking.cancel()
    print(f"{requests} requests, {failed} failed: at most {most[0]} images and {most[1]} bytes were there at once")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--blocks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--only", choices=("cost", "slow-cost", "overload", "bounds"))
    arguments = parser.parse_args()
    vfnet_process.may_serve = True
    arguments.folder.mkdir(parents=True, exist_ok=True)
    measurement = Measurement(sorted(arguments.photos.glob("*.jpg"))[:40])
    checkpoint, repository = arguments.folder / "demo.pth", arguments.folder / "repository"
    if not repository.exists():
        write_synthetic_checkpoint(checkpoint, talkative=1.6)
        build(str(checkpoint), repository, BuildOptions())
        with_fixed_time(repository, arguments.folder / "slow", OVERLOAD_MS)
    if arguments.only in (None, "cost"):
        cost(measurement, repository, arguments.folder, arguments.blocks)
    if arguments.only in (None, "slow-cost"):
        cost(measurement, arguments.folder / "slow", arguments.folder, arguments.blocks // 5)
    if arguments.only in (None, "overload"):
        overload(measurement, arguments.folder / "slow", arguments.folder, arguments.rounds)
    if arguments.only in (None, "bounds"):
        hold(measurement, repository, arguments.folder, arguments.requests)
    return 0


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir(exist_ok=True)
    return parent / name


def cost(measurement: Measurement, repository: Path, parent: Path, blocks: int) -> None:
    """One by one: without a detector's time, or with that of a slow one (`OVERLOAD_MS`)."""
    with ExitStack() as stack:
        served = stack.enter_context(serving(repository, _folder(parent, "server"), NO_OP))
        full = stack.enter_context(small_disk(parent / "full"))
        blocked = parent / "blocked"
        blocked.touch()
        places = {"captures all": parent / "store", "disk is full": full / "store", "cannot write": blocked / "store"}
        plain = stack.enter_context(running_gateway(served.grpc_url, _folder(parent, "plain")))
        again = stack.enter_context(running_gateway(served.grpc_url, _folder(parent, "plain too")))
        gateways = {"captures nothing either": again}
        for name, place in places.items():
            options = (f"--capture={place}", "--capture-share=100", "--capture-below=0.4")
            gateways[name] = stack.enter_context(running_gateway(served.grpc_url, _folder(parent, name), *options))
        found = asyncio.run(measurement.one_by_one([plain, *gateways.values()], blocks))
        for name, seconds in zip(gateways, found[1:], strict=True):
            print(f"{name}: {difference(found[0], seconds)}, of {blocks} turns of {BLOCK}")
            _told(gateways[name])


def _told(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        lines = client.get("/metrics").text.splitlines()
    print("   ", *(line for line in lines if "capture" in line and "_total{" in line and not line.endswith(" 0.0")))


def overload(measurement: Measurement, repository: Path, parent: Path, rounds: int) -> None:
    with ExitStack() as stack:
        served = stack.enter_context(serving(repository, _folder(parent, "slow server"), NO_OP))
        options = (f"--capture={parent / 'overload'}", "--capture-share=100", "--capture-below=0.4")
        gateways = [
            stack.enter_context(running_gateway(served.grpc_url, _folder(parent, "overloaded plain"))),
            stack.enter_context(running_gateway(served.grpc_url, _folder(parent, "overloaded capturing"), *options)),
        ]
        rate = 10 * 1000 / OVERLOAD_MS
        results: list[list[tuple[list[float], int, int]]] = [[], []]
        for number in range(rounds):
            for each in (0, 1) if number % 2 else (1, 0):
                results[each].append(asyncio.run(measurement.overload(gateways[each], rate, 10.0)))
        for name, found in zip(("without", "with"), results, strict=True):
            answered = np.array([seconds for round_ in found for seconds in round_[0]])
            refused, failed = (sum(round_[part] for round_ in found) for part in (1, 2))
            medians = [float(np.median(round_[0])) for round_ in found]
            print(
                f"overload {name}: {len(answered)} answered, median {1000 * np.median(answered):.0f} ms, 95 % "
                f"{1000 * np.quantile(answered, 0.95):.0f} ms, {refused} refused, {failed} failed; medians of rounds "
                f"{', '.join(f'{1000 * each:.0f}' for each in medians)}"
            )
        _told(gateways[1])


def hold(measurement: Measurement, repository: Path, parent: Path, requests: int) -> None:
    store = parent / "bounded"
    with ExitStack() as stack:
        served = stack.enter_context(serving(repository, _folder(parent, "server"), NO_OP))
        bounded = ("--capture-max-count=300", "--capture-max-bytes=20000000")
        options = (f"--capture={store}", "--capture-share=100", *bounded, "--workers=2")
        gateway = stack.enter_context(running_gateway(served.grpc_url, _folder(parent, "bounded gateway"), *options))
        asyncio.run(bounds(measurement, gateway, store, requests))
        _told(gateway)


if __name__ == "__main__":
    sys.exit(main())
