"""The ways to one detector: Triton's own gRPC, the gateway's `/score`, and its KServe v2 over gRPC and over REST."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import psutil

from vfnet_bench.http_callers import HTTPCallers
from vfnet_bench.load import Load, measure
from vfnet_bench.measurement import Measurement, ratios
from vfnet_bench.rounds import turns
from vfnet_bench.served_repository import ServedRepository
from vfnet_client.transport import open_transport
from vfnet_load.http_requests import score_request
from vfnet_load.process_memory import proportional_set_size

DIRECT, SCORE, GATEWAY_GRPC, GATEWAY_REST = "direct gRPC", "/score", "gateway gRPC", "gateway REST"
_MOST_WARM_UP_S = 1.0
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class WayLoads:
    """What one way measured, round by round."""

    name: str
    rounds: list[Load] = field(default_factory=list)

    def rates(self) -> Measurement:
        """Answers per second."""
        return Measurement(self.name, "images/s", tuple(load.rate for load in self.rounds))

    def milliseconds(self, percent: float) -> float:
        """That so many percent of the calls took at most, of the median round."""
        return 1000 * median(load.percentile(percent) for load in self.rounds)

    def share_of(self, other: WayLoads) -> Measurement:
        """Its rate as a share of another's in the same round."""
        return ratios(f"{self.name} / {other.name}", self.rates(), other.rates(), None)


async def compare_ways(
    served: ServedRepository,
    names: Sequence[str],
    image: bytes,
    callers: int,
    seconds: float,
    rounds: int,
    say: Callable[[str], None],
) -> list[WayLoads]:
    """Each way for `seconds` a round, in turns."""
    ways = [WayLoads(name) for name in names]
    for number, way in turns(ways, rounds):
        load = await load_way(served, way.name, image, callers, seconds)
        way.rounds.append(load)
        say(f"{callers} callers, round {number + 1} of {rounds}, {way.name}: {load.rate:.1f} images/s")
    return ways


async def load_way(served: ServedRepository, name: str, image: bytes, callers: int, seconds: float) -> Load:
    """Callers by one way.

    Args:
        image: encoded; the one that all send.
        seconds: that count.
    """
    if name == SCORE:
        return await _load_score(served, image, callers, seconds)
    urls = {
        DIRECT: served.endpoints.grpc_url,
        GATEWAY_GRPC: served.gateway.grpc_url,
        GATEWAY_REST: served.gateway.rest_url,
    }
    return await _load_kserve(urls[name], image, callers, seconds)


def warm_up_of(seconds: float) -> float:
    """Seconds that do not count before so many that do: as many, a second at most."""
    return min(seconds, _MOST_WARM_UP_S)


async def _load_kserve(url: str, image: bytes, callers: int, seconds: float) -> Load:
    """All with one transport of our client's, sharing a connection as the gateway's images do."""
    transport = open_transport(url)

    async def call() -> None:
        await transport.infer(image, timeout=_TIMEOUT_S)

    try:
        return await measure([call] * callers, seconds, warm_up_of(seconds))
    finally:
        await transport.close()


async def _load_score(served: ServedRepository, image: bytes, callers: int, seconds: float) -> Load:
    """One image each, every one on a connection of its own."""
    connections = HTTPCallers(served.gateway.host, served.gateway.port)
    call = partial(connections.call, connections.prepare(score_request(image)))
    try:
        return await measure([call] * callers, seconds, warm_up_of(seconds))
    finally:
        await connections.close()


async def memory_over(
    served: ServedRepository, image: bytes, requests: int, callers: int, say: Callable[[int, int], None]
) -> list[int]:
    """The gateway's resident bytes, ten times over so many requests; `say` takes the requests done and the bytes."""
    gateway = psutil.Process(served.gateway.pid)
    sizes, done = [proportional_set_size(gateway)], 0
    while done < requests:
        load = await load_way(served, SCORE, image, callers, 1.0)
        done += len(load.latencies)
        if done >= len(sizes) * requests / 10:
            sizes.append(proportional_set_size(gateway))
            say(done, sizes[-1])
    return sizes
