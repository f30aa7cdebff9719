"""The measurement itself: gRPC and /score in turn, from the same callers, and memory over many requests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psutil

from vfnet_bench.background_servers import Road
from vfnet_bench.closed_loop import Load, measure
from vfnet_bench.http_caller import HTTPCaller, post
from vfnet_client.transport import open_transport
from vfnet_load.process_memory import proportional_set_size

_WARM_UP_S = 1.0
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Pair:
    """The same number of callers on both roads."""

    grpc: Load
    score: Load


async def compare(road: Road, image: bytes, callers: int, seconds: float) -> Pair:
    """`seconds` of each."""
    return Pair(await load_grpc(road, image, callers, seconds), await load_score(road, image, callers, seconds))


async def load_grpc(road: Road, image: bytes, callers: int, seconds: float) -> Load:
    """Callers of Triton itself, sharing a connection as the gateway's images do."""
    return await load_kserve(road.grpc_url, image, callers, seconds)


async def load_kserve(url: str, image: bytes, callers: int, seconds: float) -> Load:
    """Callers of whatever speaks KServe v2 at a URL, `grpc://` or `http://`, all with one transport of our client's."""
    transport = open_transport(url)

    async def call() -> None:
        await transport.infer(image, timeout=_TIMEOUT_S)

    try:
        return await measure([call] * callers, seconds, _WARM_UP_S)
    finally:
        await transport.close()


async def load_score(road: Road, image: bytes, callers: int, seconds: float) -> Load:
    """Callers of /score with one image each, every one on a connection of its own."""
    body = json.dumps({"input_data": {"columns": ["image"], "data": [base64.b64encode(image).decode()]}}).encode()
    request = post(road.gateway_host, "/score", "application/json", body)
    connections = [await HTTPCaller.connect(road.gateway_host, road.gateway_port) for _ in range(callers)]
    try:
        return await measure([partial(connection.call, request) for connection in connections], seconds, _WARM_UP_S)
    finally:
        for connection in connections:
            await connection.close()


async def memory_over(
    road: Road, image: bytes, requests: int, callers: int, say: Callable[[int, int], None]
) -> list[int]:
    """The gateway's resident bytes, ten times over so many requests; `say` takes the requests done and the bytes."""
    sizes, done = [proportional_set_size(psutil.Process(road.gateway_pid))], 0
    while done < requests:
        load = await load_score(road, image, callers, 1.0)
        done += len(load.latencies)
        if done >= len(sizes) * requests / 10:
            sizes.append(proportional_set_size(psutil.Process(road.gateway_pid)))
            say(done, sizes[-1])
    return sizes
