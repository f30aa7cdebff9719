"""The network runs on the common sizes first, for a while at most."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from vfnet_runtime.engines import warming_up
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine
from vfnet_runtime.engines.warming_up import parse_warm_up_canvases, warm_up


class RecordingEngine:
    """An engine as far as warming up goes: it notes the sizes, and takes its time or fails."""

    network = SimpleNamespace(streams=2)

    def __init__(
        self, seconds: float = 0.0, failure: Exception | None = None, throughput_streams: int | None = None
    ) -> None:
        self.throughput_network = throughput_streams and SimpleNamespace(streams=throughput_streams)
        self.sizes: list[tuple[int, int]] = []
        self.together: list[tuple[int, int]] = []
        self._seconds, self._failure = seconds, failure
        self.clock = 0.0

    def submit(self, pixels: Any, valid_shape: Any, done: Callable[[Any, Exception | None], None]) -> None:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:3] == tuple(valid_shape[0])
        self.sizes.append(pixels.shape[1:3])
        self.clock += self._seconds / 2
        done(None, self._failure)

    def submit_together(self, pixels: Any, valid_shape: Any, done: Callable[[Any, Exception | None], None]) -> None:
        assert pixels.shape[1:3] == tuple(valid_shape[0])
        self.together.append(pixels.shape[1:3])
        done(None, self._failure)


def run(
    engine: RecordingEngine, canvases: list[tuple[int, int]], seconds: float = 60, say: Callable[[str], None] = print
) -> int:
    return warm_up(cast("OpenVINOEngine", engine), canvases, seconds, say)


def test_every_size_on_every_stream_the_commonest_first() -> None:
    engine = RecordingEngine()
    assert run(engine, [(64, 32), (32, 64)]) == 2
    assert engine.sizes == [(64, 32), (64, 32), (32, 64), (32, 64)]
    assert engine.together == []


def test_the_network_for_many_images_sees_them_too() -> None:
    engine = RecordingEngine(throughput_streams=3)
    assert run(engine, [(64, 32)]) == 1
    assert engine.together == [(64, 32)] * 3


def test_no_further_size_is_begun_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RecordingEngine(seconds=0.05)
    monkeypatch.setattr(warming_up, "time", SimpleNamespace(monotonic=lambda: engine.clock))
    assert run(engine, [(32, 32 * n) for n in range(1, 100)], seconds=0.08) == 2
    assert run(RecordingEngine(), [(32, 32)], seconds=0) == 0


def test_it_says_what_each_size_took_and_what_there_was_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for seconds, together in ((1.5, 2), (2.5, 4)):
        engine = RecordingEngine(seconds=1.0, throughput_streams=2)
        monkeypatch.setattr(warming_up, "time", SimpleNamespace(monotonic=lambda clock=engine: clock.clock))
        assert run(engine, [(64, 32), (96, 64), (32, 32)], seconds, said.append) == len(engine.sizes) / 2
        assert len(engine.together) == together
    assert said == [
        "warm for 32x64 after 1 s",
        "warm for 64x96 after 1 s; no time was left for several images at once",
        "warm for 32x64 after 1 s",
        "warm for 64x96 after 1 s",
        "warm for 32x32 after 1 s; no time was left for several images at once",
    ]


def test_a_network_that_does_not_run_is_no_model() -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        run(RecordingEngine(failure=RuntimeError("no memory")), [(32, 32)])


def test_the_parameter_is_read() -> None:
    assert parse_warm_up_canvases("") == []
    assert parse_warm_up_canvases("800x1088,1088x800") == [(800, 1088), (1088, 800)]
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        parse_warm_up_canvases("800*1088")
