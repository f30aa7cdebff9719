"""A trace for each request that detects, in OpenTelemetry: the caller's goes on, else one begins here.

Here is decided which traces are kept (`--trace-share`, OTEL_TRACES_SAMPLER): by the caller's word where there is one,
else by chance. Triton and its models keep to it. Spans hold no pixels, keys, names or addresses of a caller's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from vfnet_client.cli import install_command
from vfnet_client.exceptions import CommandError, VFNetClientError
from vfnet_client.trace_context import checked_trace_headers, is_unsampled
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.steps import TRITON
from vfnet_runtime.span_export import close_provider, open_provider, reason_for_spans, traces_url

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

SERVICE = "vfnet-gateway"
_DETECTS = re.compile(
    r"/score|/invocations|/v2/models/[^/]+(/versions/[^/]+)?/infer|/inference\.GRPCInferenceService/Model(Stream)?Infer"
)


def open_tracing(settings: GatewaySettings, note: Callable[[str, str], None]) -> Tracing | None:
    """As it is chosen, or by OpenTelemetry's variables; None: nobody asked for traces.

    Args:
        note: the log; is told a level and a line.

    Raises:
        CommandError: the address is none, or what `--otlp` needs is not installed.
    """
    try:
        url = traces_url(settings.otlp)
        if url is None:
            return None
        tracing = Tracing(url, settings.trace_share, lambda text: note("WARNING", text))
    except ValueError as error:
        raise CommandError(str(error)) from error
    except ImportError as error:
        missing = f"OpenTelemetry is not installed ({error}): {install_command('tracing')}"
        if settings.otlp:
            raise CommandError(f"--otlp: {missing}") from error
        note("WARNING", f"no traces: {missing}")
        return None
    note("INFO", f"traces go to {url}")
    return tracing


class Tracing:
    """Of one gateway process.

    Args:
        url: of a collector's traces.
        share: of the traces that begin here, those that are kept; None: as OTEL_TRACES_SAMPLER says, else all.
        warn: is told in a sentence that no spans arrive.
    """

    def __init__(self, url: str, share: float | None, warn: Callable[[str], None]) -> None:
        from opentelemetry import context, trace
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.api, self.context_api = trace, context
        self._provider = open_provider(
            url, SERVICE, warn, None if share is None else ParentBased(TraceIdRatioBased(share))
        )
        self.tracer = self._provider.get_tracer("vfnet_gateway")
        self._ids, self._propagator = RandomIdGenerator(), TraceContextTextMapPropagator()

    def begin(self, method: str, path: str, headers: Mapping[str, str], record: RequestRecord) -> RequestTrace | None:
        """The running task answers this request from now on; None: it is of no kind that is traced."""
        if not _DETECTS.fullmatch(path):
            return None
        known = re.sub(r"^/v2/models/.*", "/v2/models/{model}/infer", path)
        to_wall_clock = time_ns() - perf_counter_ns()
        span = self.tracer.start_span(
            f"{method} {known}",
            self._parent(headers),
            kind=self.api.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": known},
            start_time=round(1e9 * record.started) + to_wall_clock,
        )
        self.context_api.attach(self.api.set_span_in_context(span))
        request = RequestTrace(self, span, to_wall_clock)
        if span.is_recording():
            record.steps.trace = request
        return request

    def close(self) -> None:
        """Send what waits, for a second at most."""
        close_provider(self._provider)

    def _parent(self, headers: Mapping[str, str]) -> Context | None:
        given = checked_trace_headers(headers)
        if given:
            return self._propagator.extract(given)
        if not is_unsampled(headers):
            return None
        nobody = self.api.SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), is_remote=True)
        return self.api.set_span_in_context(self.api.NonRecordingSpan(nobody))


class RequestTrace:
    """See `vfnet_gateway.steps.Trace`."""

    def __init__(self, tracing: Tracing, span: Span, to_wall_clock: int) -> None:
        self._tracing, self._span, self._to_wall_clock = tracing, span, to_wall_clock

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def step(self, name: str, started: int, attributes: dict[str, str | int]) -> Iterator[None]:
        """See `vfnet_gateway.steps.Trace.step`."""
        api, context_api = self._tracing.api, self._tracing.context_api
        span = self._tracing.tracer.start_span(
            name,
            kind=api.SpanKind.CLIENT if name == TRITON else api.SpanKind.INTERNAL,
            attributes={f"vfnet.{key}": value for key, value in attributes.items()},
            start_time=started + self._to_wall_clock,
        )
        token = context_api.attach(api.set_span_in_context(span))
        try:
            yield
        except BaseException as error:
            span.set_status(api.Status(api.StatusCode.ERROR, _reason(error)))
            raise
        finally:
            context_api.detach(token)
            span.end(perf_counter_ns() + self._to_wall_clock)

    def end(self, status: int, record: RequestRecord) -> None:
        """It is answered.

        Args:
            status: HTTP's, also of a gRPC call.
        """
        span, api = self._span, self._tracing.api
        if span.is_recording():
            self._add_reading(record)
            span.set_attribute("http.response.status_code", status)
            found: dict[str, Any] = {"images": record.images, "deployment": record.deployment}
            if (origins := record.origins()) is not None:
                found["answered_by"], found["checkpoint"] = origins
            for name, value in found.items():
                if value is not None:
                    span.set_attribute(f"vfnet.{name}", value)
            if record.reason is not None:
                span.set_attribute("error.type", str(status))
                span.set_attribute("vfnet.reason", reason_for_spans(record.reason))
            if status >= 500:
                span.set_status(api.Status(api.StatusCode.ERROR, reason_for_spans(record.reason or "")))
        span.end(perf_counter_ns() + self._to_wall_clock)

    def _add_reading(self, record: RequestRecord) -> None:
        """The body arrives in pieces, while others are asked for it: what it took is known in the end."""
        if "read" in record.stages:
            begun = round(1e9 * record.started) + self._to_wall_clock
            reading = self._tracing.tracer.start_span("read", start_time=begun)
            reading.set_attribute("vfnet.bytes", record.bytes_in)
            reading.end(begun + round(1e9 * record.stages["read"]))


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "given up"
    return reason_for_spans(str(error)) if isinstance(error, VFNetClientError) else type(error).__name__
