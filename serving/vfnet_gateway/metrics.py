"""The gateway's own Prometheus metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from vfnet_client.servers.pool import ServerPool
from vfnet_client.servers.pooled_server import PooledServer
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.service_levels import ServiceLevels
from vfnet_gateway.steps import OF_AN_IMAGE
from vfnet_runtime import latency_buckets

CONTENT_TYPE = CONTENT_TYPE_LATEST
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


SHARED_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The folder by which several processes share what they count: prometheus_client's own name, which it reads when it is
imported."""


class GatewayMetrics:
    """Counts of one gateway, in a registry of their own; in a worker, what is told is of all of them together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shared = os.environ.get(SHARED_METRICS_VARIABLE)
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self.refreshers: list[Callable[[], None]] = []
        """Called by `refresh`, for gauges of others in the registry."""
        self._pools: WeakSet[ServerPool] = WeakSet()
        self._told_of: set[str] = set()
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
        self.tiles = Counter("vfnet_gateway_tiles", "Tiles of detected images, beside these.", registry=self.registry)
        self.received = Counter("vfnet_gateway_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self.requests_in_flight = Gauge(
            "vfnet_gateway_requests_in_flight", "Requests being answered.", registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.request_seconds = Histogram(
            "vfnet_gateway_request_seconds", "From a request's head to the end of its answer.", ["route"],
            buckets=latency_buckets.SECONDS, registry=self.registry,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "vfnet_gateway_stage_seconds", "Seconds of a request that detects, by stage; fetch, wait and triton of "
            "each of its images.", ["stage"], buckets=latency_buckets.SECONDS, registry=self.registry,
        )  # fmt: skip
        self._of_an_image = {name: self.stage_seconds.labels(name) for name in OF_AN_IMAGE}
        self.levels = ServiceLevels(self.registry)

        self.left_out = Counter(
            "vfnet_gateway_server_left_out", "Times that one of several servers was left out.", ["server"],
            registry=self.registry,
        )  # fmt: skip

        self._servers_in = Gauge(
            "vfnet_gateway_server_in", "1 for a server that gets images.", ["server"], registry=self.registry,
            multiprocess_mode="livemin",
        )  # fmt: skip
        self._in_flight_at = Gauge(
            "vfnet_gateway_server_images_in_flight", "Images sent to a server and not answered.", ["server"],
            registry=self.registry, multiprocess_mode="livesum",
        )  # fmt: skip

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

    def image_step(self, name: str, seconds: float) -> None:
        """Count one of `OF_AN_IMAGE`, also of an image that was not answered."""
        self._of_an_image[name].observe(seconds)

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for when it is scraped."""
        gauge = Gauge(f"vfnet_gateway_{name}", help_text, registry=self.registry, multiprocess_mode="livesum")
        self._watched.append((gauge, value))

    def watch_servers(self, pool: ServerPool) -> None:
        """Gauges for each of several servers, asked for when they are scraped, until the pool is forgotten."""
        self._pools.add(pool)

    def refresh(self) -> None:
        """Set the gauges that are watched; a worker does so from time to time, for another may be scraped."""
        for gauge, value in self._watched:
            gauge.set(value())
        for refresh in self.refreshers:
            refresh()
        by_url: dict[str, list[PooledServer]] = {}
        for pool in self._pools:
            for server in pool.servers:
                by_url.setdefault(server.url, []).append(server)
        for url in self._told_of - by_url.keys():  # an address that is gone; files keep a label that was there once
            for gauge in (self._servers_in, self._in_flight_at):
                gauge.labels(url).set(0) if self._shared else gauge.remove(url)
        self._told_of = set(by_url)
        for url, servers in by_url.items():
            self._servers_in.labels(url).set(float(all(server.is_in for server in servers)))
            self._in_flight_at.labels(url).set(sum(server.in_flight for server in servers))

    def text(self) -> bytes:
        """The exposition format."""
        self.refresh()
        if self._shared is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=self._shared)  # type: ignore[no-untyped-call]
        return generate_latest(together)
