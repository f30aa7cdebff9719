"""Where Triton and its models export spans, and of which requests: of those only whose caller traces them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from vfnet_client.cli import install_command
from vfnet_runtime.span_export import traces_url
from vfnet_serve.installation import ServerError
from vfnet_serve.server_log import say

TRACES_VARIABLE = "VFNET_TRACES_URL"
"""What turns spans on in the models; see `vfnet_runtime.triton_models.step_spans`."""
SERVICE = "vfnet-triton"
TRACE_HEADER = "traceparent"
"""That the models want to see."""
_HANDED_ON = (
    "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_SCHEDULE_DELAY",
)  # fmt: skip
"""Variables of OpenTelemetry that Triton's exporter and that of the models keep. The headers hold what a collector asks
for, and are handed on for that; a collector on this machine that knows them spares the models."""


@dataclass(frozen=True)
class TraceExport:
    """Spans of Triton and its models."""

    url: str
    """Of a collector's traces, OTLP over HTTP."""

    @classmethod
    def chosen(cls, given: str | None, environment: Mapping[str, str] = os.environ) -> TraceExport | None:
        """By the option, else by OpenTelemetry's variables; None: nobody asked for spans.

        Raises:
            ServerError: what was given is no address, or what it needs is not installed.
        """
        try:
            url = traces_url(given, environment)
        except ValueError as error:
            raise ServerError(str(error)) from error
        if url is None:
            return None
        if not find_spec("opentelemetry") or not find_spec("opentelemetry.sdk"):
            missing = f"OpenTelemetry is not installed: {install_command('tracing')}"
            if given:
                raise ServerError(f"--otlp: {missing}")
            say(f"the models export no spans, for {missing}", "WARNING")
        say(f"spans of requests that are traced go to {url}")
        return cls(url)

    def triton_options(self) -> list[str]:
        """Of tritonserver.

        A rate of 0 leaves out what has no `traceparent`. Triton (2.51) takes each that has one for sampled, so gateway
        and client send none where it is not.
        """
        name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
        settings = ["mode=opentelemetry", "level=TIMESTAMPS", "rate=0", f"opentelemetry,url={self.url}"]
        settings.append(f"opentelemetry,resource=service.name={name}")
        return [f"--trace-config={each}" for each in settings]

    def environment(self) -> dict[str, str]:
        """Of Triton, which hands it to its models."""
        kept = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        return kept | {TRACES_VARIABLE: self.url}
