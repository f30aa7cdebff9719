"""How many images a second a server that has just started answers."""

from __future__ import annotations

import asyncio
import io
import threading
from time import perf_counter

from PIL import Image

from vfnet_client.exceptions import ServerBusyError
from vfnet_client.transport import Transport, open_transport
from vfnet_serve.triton_process import TritonProcess

_SIZE = (640, 480)
"""Width and height of most of COCO's photos."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


def measure_speed(server: TritonProcess, at_once: int, stop: threading.Event, seconds: float = 1.0) -> float:
    """Images a second.

    What others ask meanwhile counts too: a server that starts again may have work at once.

    Args:
        at_once: callers in turn.
        stop: makes an early end of it.
        seconds: for which they ask. A first image that takes longer is the measure.

    Raises:
        ServerError, VFNetClientError: the server does not answer, or not with detections.
    """
    return asyncio.run(_measure(server, at_once, stop, seconds))


async def _measure(server: TritonProcess, at_once: int, stop: threading.Event, seconds: float) -> float:
    transport, photo = open_transport(server.endpoints.grpc_url), _photo()
    try:
        started = perf_counter()
        await _ask(transport, photo)
        first = perf_counter() - started
        if first > seconds:
            return 1 / first
        before, started = server.answered(), perf_counter()

        async def keep_asking() -> None:
            while perf_counter() < started + seconds and not stop.is_set():
                await _ask(transport, photo)

        await asyncio.gather(*(keep_asking() for _ in range(at_once)))
        return (server.answered() - before) / (perf_counter() - started)
    finally:
        await transport.close()


async def _ask(transport: Transport, photo: bytes) -> None:
    try:
        await transport.infer(photo, timeout=_PATIENCE_SECONDS)
    except ServerBusyError:  # with others' images, which count as well
        await asyncio.sleep(_PAUSE_SECONDS)


def _photo() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize(_SIZE).convert("RGB").save(out, "JPEG")
    return out.getvalue()
