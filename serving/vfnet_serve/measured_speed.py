"""How many images a second a server that has just started answers."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from time import perf_counter

from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.commands.health import generated_picture
from vfnet_client.exceptions import ServerBusyError
from vfnet_client.model_names import MODEL
from vfnet_client.transport import Transport, open_transport
from vfnet_runtime.canvases import canvas_for, parse_canvases
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.local_http import fetch

_SIZE = (640, 480)
"""Width and height of most of COCO's photos."""
_STRIP = (640, 80)
"""Of a picture that tells how long a photo would take, in a fraction of the time, where a network's takes long: the
time is that of its pixels, but for what the first image of a size costs."""
_LEAST_RATIO = 2.0
"""Of the photo's to the strip's pixels at the network's input."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


def measure_speed(
    endpoints: Endpoints,
    at_once: int,
    stop: threading.Event,
    model: str = MODEL,
    photo_to_strip: float = 1.0,
    seconds: float = 1.0,
) -> float:
    """Images a second.

    What others ask meanwhile counts too: a server that starts again may have work at once.

    Args:
        at_once: callers in turn.
        stop: makes an early end of it.
        model: that is asked.
        photo_to_strip: see there. Where that is enough of a difference, a strip is asked for first. A photo that would
            take longer than `seconds`, by that, is not asked for any more.
        seconds: for which they ask, unless a first image takes longer, which is the measure then.

    Raises:
        OSError, VFNetClientError: the server does not answer, or not with detections.
    """
    return asyncio.run(_measure(endpoints, at_once, stop, model, photo_to_strip, seconds))


def photo_to_strip(preprocess: ModelConfig) -> float:
    """How many times as many pixels the photo has at a network's input, whose time grows with them, as the strip.

    Args:
        preprocess: the configuration of `vfnet_preprocess`.
    """
    from vfnet_runtime.resizing import resized_size  # OpenCV, which takes a while to import

    parameters = {name: each.string_value for name, each in preprocess.parameters.items()}
    width, height = map(int, parameters["img_scale"].split(","))
    canvases, divisor = parse_canvases(parameters["canvases"]), int(parameters["size_divisor"])

    def pixels(size: tuple[int, int]) -> int:
        resized_width, resized_height = resized_size(*size, (width, height))
        canvas = canvas_for(resized_height, resized_width, canvases, divisor)
        return canvas[0] * canvas[1]

    return pixels(_SIZE) / pixels(_STRIP)


async def _measure(
    endpoints: Endpoints, at_once: int, stop: threading.Event, model: str, photo_to_strip: float, seconds: float
) -> float:
    transport, photo = open_transport(endpoints.grpc_url, model=model), _picture(_SIZE)

    async def keep_asking() -> None:
        while perf_counter() < started + seconds and not stop.is_set():
            await _ask(transport, photo)

    try:
        if photo_to_strip >= _LEAST_RATIO:
            strip = _picture(_STRIP)
            # The first of a size takes longer. It is enough where even that says that a photo is quick.
            for _ in range(2):
                before, started = _answered(endpoints, model), perf_counter()
                await _ask(transport, strip)
                estimate = photo_to_strip * (perf_counter() - started)
                is_alone = _answered(endpoints, model) - before <= 1
                if estimate < seconds or not is_alone or stop.is_set():
                    break
            else:
                return 1 / estimate
        before, started = _answered(endpoints, model), perf_counter()
        await _ask(transport, photo)
        if perf_counter() < started + seconds:
            before, started = _answered(endpoints, model), perf_counter()
            await asyncio.gather(*(keep_asking() for _ in range(at_once)))
        return max(1, _answered(endpoints, model) - before) / (perf_counter() - started)
    finally:
        await transport.close()


async def _ask(transport: Transport, photo: bytes) -> None:
    try:
        await transport.infer(photo, timeout=_PATIENCE_SECONDS)
    except ServerBusyError:  # with others' images, which count as well
        await asyncio.sleep(_PAUSE_SECONDS)


def _answered(endpoints: Endpoints, model: str) -> int:
    """Images so far, whoever asked."""
    statistics = json.loads(fetch(f"{endpoints.http_url}/v2/models/{model}/stats"))
    return sum(int(version["inference_stats"]["success"]["count"]) for version in statistics["model_stats"])


def _picture(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    generated_picture(size).save(out, "JPEG")
    return out.getvalue()
