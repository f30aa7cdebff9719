"""Run the network on the sizes that will be common, before anybody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfnet_runtime.canvases import Canvas, read_canvases
from vfnet_runtime.engines.openvino_engine import HeadOutputs, OpenVINOEngine


def parse_warm_up_canvases(text: str) -> list[Canvas]:
    """`800x1088,1088x800` -> heights and widths, in that order; nothing -> none.

    Raises:
        ValueError: it is neither.
    """
    try:
        return read_canvases(text) if text else []
    except ValueError:
        raise ValueError(f"warm_up_canvases must read HEIGHTxWIDTH,..., not {text!r}") from None


def warm_up(
    engine: OpenVINOEngine, canvases: list[Canvas], seconds: float, say: Callable[[str], None] = lambda _: None
) -> int:
    """Black images of each size, as many at once as the engine computes; how many sizes there was time for.

    Args:
        seconds: after these nothing further is begun. A size that one image has been computed of counts.
        say: told of each size, when it is done.

    Raises:
        Exception: what the engine raised.
    """
    started = time.monotonic()
    for count, (height, width) in enumerate(canvases):
        begun = time.monotonic()
        if begun - started >= seconds:
            return count
        image = np.zeros((1, height, width, 3), np.uint8), np.array([[height, width]], np.int32)
        _run(engine.submit, image, engine.network.streams)
        missed = ""
        if engine.throughput_network is not None:
            # A heavy network takes longest here: each image has one thread.
            if time.monotonic() - started < seconds:
                _run(engine.submit_together, image, engine.throughput_network.streams)
            else:
                missed = "; no time was left for several images at once"
        say(f"warm for {width}x{height} after {time.monotonic() - begun:.2g} s{missed}")
    return len(canvases)


def _run(submit: Callable[..., None], image: tuple[NDArray[Any], NDArray[Any]], streams: int) -> None:
    """Once on every stream: each has to see the size."""
    finished, failures = threading.Semaphore(0), list[Exception]()

    def done(_outputs: HeadOutputs | None, error: Exception | None) -> None:
        failures.extend([error] if error else [])
        finished.release()

    for _ in range(streams):
        submit(*image, done)
    for _ in range(streams):
        finished.acquire()
    if failures:
        raise failures[0]
