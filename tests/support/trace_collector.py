"""A real OpenTelemetry collector (rotel), and what it passed on: spans as a test reads them."""

from __future__ import annotations

import gzip
import importlib.util
import stat
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from vfnet_client.free_ports import free_ports


@dataclass(frozen=True)
class CollectedSpan:
    """One span as it left the collector."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: it is the first of its trace."""
    started: int
    """Nanoseconds since 1970."""
    ended: int
    attributes: dict[str, Any]
    error: str | None
    """What its status says, where that is an error."""
    is_server: bool


@dataclass
class TraceCollector:
    """What arrived so far."""

    url: str
    """Its address, for `--otlp`."""
    spans: list[CollectedSpan] = field(default_factory=list)

    def wait_for(self, is_there: Callable[[list[CollectedSpan]], bool], seconds: float = 20) -> list[CollectedSpan]:
        """All spans, once they are as asked; a test fails with what there was."""
        deadline = time.monotonic() + seconds
        while not is_there(spans := list(self.spans)):
            told = "\n".join(f"{span.service} {span.name} {span.trace_id}" for span in spans)
            assert time.monotonic() < deadline, f"the collector has only\n{told}"
            time.sleep(0.05)
        return spans

    def trace(self, trace_id: str, *names: str) -> list[CollectedSpan]:
        """The spans of a trace, once each of these names is there."""
        found = self.wait_for(lambda spans: set(names) <= {s.name for s in spans if s.trace_id == trace_id})
        return [span for span in found if span.trace_id == trace_id]

    def whole_trace(self, trace_id: str, counts: Mapping[str, int]) -> list[CollectedSpan]:
        """The spans of a trace, once so many of each of these names are there."""

        def is_whole(spans: list[CollectedSpan]) -> bool:
            names = Counter(span.name for span in spans if span.trace_id == trace_id)
            return all(names[name] >= count for name, count in counts.items())

        return [span for span in self.wait_for(is_whole) if span.trace_id == trace_id]


@contextmanager
def running_collector(folder: Path) -> Iterator[TraceCollector]:
    """A collector on free ports, which hands on what it gets to this process."""
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `tracing`")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        pytest.skip("needs the collector that the package rotel carries")
    agent = Path(package.origin).with_name("rotel-agent")
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    http_port, grpc_port = free_ports(2)
    collector = TraceCollector(f"http://127.0.0.1:{http_port}")

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            collector.spans.extend(_spans_of(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    command = [
        str(agent), "start",
        f"--otlp-http-endpoint=127.0.0.1:{http_port}", f"--otlp-grpc-endpoint=127.0.0.1:{grpc_port}",
        "--exporter=otlp", "--otlp-exporter-protocol=http", "--batch-timeout=100ms",
        f"--otlp-exporter-endpoint=http://127.0.0.1:{sink.server_port}", f"--pid-file={folder / 'collector.pid'}",
    ]  # fmt: skip
    with (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_until_it_listens(process, collector.url, folder / "collector.log")
        yield collector
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sink.shutdown()
        sink.server_close()


def _wait_until_it_listens(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.05)


def _spans_of(request: Any) -> Iterator[CollectedSpan]:
    for resource in request.resource_spans:
        service = next(
            (each.value.string_value for each in resource.resource.attributes if each.key == "service.name"), ""
        )
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {each.key: _value(each.value) for each in span.attributes},
                    span.status.message if span.status.code == 2 else None,
                    span.kind == 2,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
