"""The ways to one detector in turn: Triton's own gRPC, and the gateway's KServe v2 over gRPC and over REST."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from vfnet_bench.background_servers import Road
from vfnet_bench.closed_loop import Load
from vfnet_bench.gateway.comparison import load_kserve

DIRECT, GATEWAY_GRPC, GATEWAY_REST = "direct gRPC", "gateway gRPC", "gateway REST"


@dataclass(frozen=True)
class WayLoads:
    """What one way measured, round by round."""

    name: str
    rounds: list[Load]

    def rate(self) -> float:
        """Answers per second, of the median round."""
        return median(load.rate for load in self.rounds)

    def milliseconds(self, percent: float) -> float:
        """That so many percent of the calls took at most, of the median round."""
        return 1000 * median(load.percentile(percent) for load in self.rounds)

    def share_of(self, other: WayLoads) -> float:
        """Its rate as a share of another's in the same round, of the median round."""
        return median(own.rate / its.rate for own, its in zip(self.rounds, other.rounds, strict=True))


async def compare_ways(
    road: Road, image: bytes, callers: int, seconds: float, rounds: int, say: Callable[[str], None]
) -> list[WayLoads]:
    """Each way for `seconds` a round. The order turns from round to round, so that none always comes after another."""
    urls = {
        DIRECT: road.grpc_url,
        GATEWAY_GRPC: road.gateway_grpc_url,
        GATEWAY_REST: f"http://{road.gateway_host}:{road.gateway_port}",
    }
    ways = {name: WayLoads(name, []) for name in urls}
    names = list(urls)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            load = await load_kserve(urls[name], image, callers, seconds)
            ways[name].rounds.append(load)
            say(f"round {turn + 1}, {name}: {load.rate:.1f} images/s")
    return list(ways.values())
