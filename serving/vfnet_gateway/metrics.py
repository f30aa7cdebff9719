"""The gateway's own Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from vfnet_client.servers.pool import ServerPool
from vfnet_client.servers.pooled_server import PooledServer
from vfnet_gateway.request_record import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REFUSALS = {
    400: "malformed",
    401: "no_valid_key",
    403: "other_site",
    408: "slow_body",
    413: "too_large",
    415: "not_json",
    421: "other_name",
    429: "busy",
    431: "long_request_id",
    503: "not_ready",
    504: "deadline",
}
"""HTTP status -> what `vfnet_gateway_refusals_total` calls it."""


class GatewayMetrics:
    """Counts of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vfnet_gateway_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.refusals = Counter(
            "vfnet_gateway_refusals", "Requests refused, by reason.", ["reason"], registry=self.registry
        )
        self.images = Counter(
            "vfnet_gateway_images", "Images of answered requests: detected or unreadable.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.received = Counter("vfnet_gateway_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self.requests_in_flight = Gauge(
            "vfnet_gateway_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.request_seconds = Histogram(
            "vfnet_gateway_request_seconds", "From a request's head to the end of its answer.", ["route"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "vfnet_gateway_stage_seconds", "Seconds of a request that detects, by stage.", ["stage"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip

        self.left_out = Counter(
            "vfnet_gateway_server_left_out", "Times that one of several servers was left out.", ["server"],
            registry=self.registry,
        )  # fmt: skip

        self._server_gauges: _ServerGauges | None = None

    def answered(self, route: str, method: str, status: str, refusal: str | None, record: RequestRecord) -> None:
        """Count a request that has been answered.

        Args:
            status: HTTP's number or gRPC's word.
            refusal: one of `REFUSALS`; None where it was not refused.
        """
        self.requests.labels(route, method, status).inc()
        self.request_seconds.labels(route).observe(record.seconds())
        self.received.inc(record.bytes_in)
        for stage, seconds in record.stages.items():
            self.stage_seconds.labels(stage).observe(seconds)
        if refusal is not None:
            self.refusals.labels(refusal).inc()

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for when it is scraped."""
        Gauge(f"vfnet_gateway_{name}", help_text, registry=self.registry).set_function(value)

    def watch_servers(self, pool: ServerPool) -> None:
        """Gauges for each of several servers, asked for when they are scraped, until the pool is forgotten."""
        if self._server_gauges is None:
            self._server_gauges = _ServerGauges()
            self.registry.register(self._server_gauges)
        self._server_gauges.pools.add(pool)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _ServerGauges(Collector):
    """Of pools that are open; of each server, all of them together."""

    def __init__(self) -> None:
        self.pools: WeakSet[ServerPool] = WeakSet()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """As the registry asks."""
        is_in = GaugeMetricFamily("vfnet_gateway_server_in", "1 for a server that gets images.", labels=["server"])
        in_flight = GaugeMetricFamily(
            "vfnet_gateway_server_images_in_flight", "Images sent to a server and not answered.", labels=["server"]
        )
        by_url: dict[str, list[PooledServer]] = {}
        for pool in self.pools:
            for server in pool.servers:
                by_url.setdefault(server.url, []).append(server)
        for url, servers in by_url.items():
            is_in.add_metric([url], float(all(server.is_in for server in servers)))
            in_flight.add_metric([url], sum(server.in_flight for server in servers))
        yield is_in
        yield in_flight
