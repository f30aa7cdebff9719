"""How many images a second a server that has just started answers."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from time import perf_counter

from vfnet_client.commands.health import generated_picture
from vfnet_client.exceptions import ServerBusyError
from vfnet_client.model_names import MODEL
from vfnet_client.transport import Transport, open_transport
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.local_http import fetch

_SIZE = (640, 480)
"""Width and height of most of COCO's photos."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


def measure_speed(
    endpoints: Endpoints, at_once: int, stop: threading.Event, model: str = MODEL, seconds: float = 1.0
) -> float:
    """Images a second.

    What others ask meanwhile counts too: a server that starts again may have work at once.

    Args:
        at_once: callers in turn.
        stop: makes an early end of it.
        model: that is asked.
        seconds: for which they ask, unless a first image takes longer, which is the measure then.

    Raises:
        OSError, VFNetClientError: the server does not answer, or not with detections.
    """
    return asyncio.run(_measure(endpoints, at_once, stop, model, seconds))


async def _measure(endpoints: Endpoints, at_once: int, stop: threading.Event, model: str, seconds: float) -> float:
    transport, photo = open_transport(endpoints.grpc_url, model=model), _photo()

    async def keep_asking() -> None:
        while perf_counter() < started + seconds and not stop.is_set():
            await _ask(transport, photo)

    try:
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


def _photo() -> bytes:
    out = io.BytesIO()
    generated_picture(_SIZE).save(out, "JPEG")
    return out.getvalue()
