"""A server whose network takes long for a photo is measured on less of one."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_serve import measured_speed
from vfnet_serve.measured_speed import measure_speed, photo_to_strip


def preprocess(scale: str, canvases: str = "x32") -> ModelConfig:
    parameters = {"img_scale": scale, "size_divisor": "32", "canvases": canvases}
    lines = [f'parameters {{ key: "{key}" value: {{ string_value: "{text}" }} }}' for key, text in parameters.items()]
    return text_format.Parse("\n".join(lines), ModelConfig())


def test_the_ratio_is_of_pixels_at_the_networks_input() -> None:
    assert photo_to_strip(preprocess("1333,800")) == (1088 * 800) / (1344 * 192)
    assert photo_to_strip(preprocess("416,320")) == (416 * 320) / (416 * 64)
    assert photo_to_strip(preprocess("1333,800", "1344x1344")) == 1


class FakeServer:
    """Takes so long for a photo and for a strip, the first one of each twice that, and counts what it answers."""

    def __init__(self, photo: float, strip: float) -> None:
        self.seconds = {(640, 480): photo, (640, 80): strip}
        self.asked: list[tuple[int, int]] = []
        self.clock = 0.0
        self.others = 0

    async def infer(self, image: bytes, timeout: float) -> None:  # noqa: ARG002
        size = Image.open(io.BytesIO(image)).size
        self.clock += self.seconds[size] * (1 if size in self.asked else 2)
        self.asked.append(size)
        await asyncio.sleep(0)

    async def close(self) -> None: ...


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    def run(server: FakeServer, ratio: float) -> float:
        transport: Any = server
        endpoints: Any = SimpleNamespace(grpc_url="")
        monkeypatch.setattr(measured_speed, "open_transport", lambda *_, **__: transport)
        monkeypatch.setattr(measured_speed, "_answered", lambda *_: len(server.asked) * (1 + server.others))
        monkeypatch.setattr(measured_speed, "perf_counter", lambda: server.clock)
        return measure_speed(endpoints, 1, threading.Event(), "vfnet", ratio)

    return run


def test_a_photo_that_would_take_long_is_not_asked_for(measure: Callable[..., float]) -> None:
    server = FakeServer(photo=20, strip=5)
    assert measure(server, 4.0) == 1 / 20
    assert server.asked == [(640, 80)] * 2


def test_a_quick_network_is_measured_on_photos(measure: Callable[..., float]) -> None:
    server = FakeServer(photo=0.25, strip=0.0625)
    assert measure(server, 4.0) == 4
    assert server.asked[:3] == [(640, 80), (640, 480), (640, 480)]


def test_what_others_ask_meanwhile_counts(measure: Callable[..., float]) -> None:
    server = FakeServer(photo=20, strip=5)
    server.others = 1
    assert measure(server, 4.0) == 2 / 40  # the first photo of that size, and another's
    assert server.asked == [(640, 80), (640, 480)]


def test_on_one_canvas_a_strip_tells_nothing(measure: Callable[..., float]) -> None:
    server = FakeServer(photo=2, strip=2)
    assert measure(server, 1.0) == 1 / 4
    assert server.asked == [(640, 480)]
