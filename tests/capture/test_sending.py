"""The gateway's end, with a real keeper: bounded, never in the way, and a new keeper where one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from captured_images import offer, picture
from vfnet_capture.messages import BUSY, DROPPED, KEPT, LOST, TROUBLE
from vfnet_capture.sending import Sender
from vfnet_capture.settings import CaptureSettings
from vfnet_capture.store import open_store

PATIENCE_S = 30.0


class Heard(list[list[Any]]):
    def dropped(self, reason: str) -> int:
        return sum(message[2] for message in self if message[:2] == [DROPPED, reason])

    @property
    def kept(self) -> int:
        return sum(message[0] == KEPT for message in self)

    async def comes_to(self, what: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                await asyncio.sleep(0.01)


def test_what_waits_is_kept_when_it_stops(tmp_path: Path) -> None:
    async def run() -> None:
        heard = Heard()
        sender = Sender(CaptureSettings(store=str(tmp_path)), heard.append)
        sender.start()
        for number in range(20):
            sender.offer(offer(str(number), picture(number)))
        await sender.stop(PATIENCE_S)
        assert heard.kept == 20
        assert sorted(int(image.request) for image in open_store(str(tmp_path)).images()) == list(range(20))
        assert len((tmp_path / "captured.jsonl").read_text().splitlines()) == 20

    asyncio.run(run())


def test_a_keeper_that_hangs_costs_nothing_but_images(tmp_path: Path) -> None:
    async def run() -> None:
        heard = Heard()
        sender = Sender(CaptureSettings(store=str(tmp_path)), heard.append)
        sender.start()
        sender.offer(offer())
        await heard.comes_to(lambda: heard.kept == 1)
        keeper = sender._process
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGSTOP)
        image = os.urandom(1 << 20)
        began = time.perf_counter()
        for _ in range(200):
            sender.offer(offer(image=image))
        assert time.perf_counter() - began < 1.0  # 200 MB that nobody takes
        assert 200 - 36 <= heard.dropped(BUSY) <= 200
        os.kill(keeper.pid, signal.SIGKILL)
        await heard.comes_to(lambda: any(message[0] == TROUBLE for message in heard))
        assert heard.dropped(LOST) >= 1
        sender.offer(offer("after"))
        await heard.comes_to(lambda: any(image.request == "after" for image in open_store(str(tmp_path)).images()))
        await sender.stop(PATIENCE_S)
        offered = 202
        assert heard.kept + sum(message[2] for message in heard if message[0] == DROPPED) == offered

    asyncio.run(run())


def test_stopping_does_not_wait_for_a_keeper_that_hangs(tmp_path: Path) -> None:
    async def run() -> None:
        heard = Heard()
        sender = Sender(CaptureSettings(store=str(tmp_path)), heard.append)
        sender.start()
        sender.offer(offer())
        await heard.comes_to(lambda: heard.kept == 1)
        keeper = sender._process
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGSTOP)
        began = time.perf_counter()
        await sender.stop(0.2)
        assert time.perf_counter() - began < 5.0
        assert keeper.returncode is not None

    asyncio.run(run())
