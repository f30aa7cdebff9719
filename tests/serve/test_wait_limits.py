"""Limits that were measured while the machine was busy are measured again."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_serve import wait_limits
from vfnet_serve.serving_settings import GivenSettings, ServingSettings
from vfnet_serve.wait_limits import WaitLimits
from waiting import eventually

SETTINGS = ServingSettings(
    streams=1, throughput_streams=2, threads=2, batch_size=4, queue_delay=0, preprocess_instances=2,
    postprocess_instances=1, max_in_flight=10, max_waiting=16, queue_timeout=30, max_wait=0.75, computed_at_once=2,
)  # fmt: skip

CONFIGS = {"vfnet_preprocess": ModelConfig(), "vfnet_detector": ModelConfig()}


class FakeWatchdog:
    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.processes: dict[int, Any] = {}

    def look(self) -> None:
        pass

    def is_idle(self) -> bool:
        return True

    def load(self, model: str, _run: Any) -> None:
        self.loaded.append(model)


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Images a second that the next measurements find."""
    found: list[float] = []
    monkeypatch.setattr(wait_limits, "measure_speed", lambda *_: found.pop(0))
    monkeypatch.setattr(ServingSettings, "apply", lambda *_: None)
    return found


def test_more_are_let_in_once_the_machine_turns_out_to_be_faster(speeds: list[float]) -> None:
    speeds += [0.3, 100.0]
    limits, watchdog, stop = WaitLimits(SETTINGS, GivenSettings(), CONFIGS), FakeWatchdog(), threading.Event()
    server: Any = SimpleNamespace(endpoints=None, has_ended=lambda **_: False, activity_dir=None)
    dog: Any = watchdog
    limits.measure(server, dog, stop)
    assert limits.current.max_in_flight == 6
    limits.look(server, dog, stop)
    assert len(speeds) == 1  # not so soon
    assert limits._since is not None
    limits._since = time.monotonic() - 61

    def look() -> bool:
        limits.look(server, dog, stop)
        return limits.current == SETTINGS

    assert eventually(look)
    assert watchdog.loaded == ["vfnet_preprocess"] * 2
    limits._since = 0
    limits.look(server, dog, stop)  # nothing is left to gain
    assert not speeds


def test_a_machine_that_is_still_busy_keeps_the_limits(speeds: list[float]) -> None:
    speeds += [0.3, 0.3, 0.3, 0.3]
    limits, watchdog, stop = WaitLimits(SETTINGS, GivenSettings(), CONFIGS), FakeWatchdog(), threading.Event()
    server: Any = SimpleNamespace(endpoints=None, has_ended=lambda **_: False, activity_dir=None)
    dog: Any = watchdog
    limits.measure(server, dog, stop)
    limits._since = time.monotonic() - 10_000

    def looked() -> bool:
        limits.look(server, dog, stop)
        return not speeds

    assert eventually(looked)
    assert watchdog.loaded == ["vfnet_preprocess"]
    assert limits.current.max_in_flight == 6
