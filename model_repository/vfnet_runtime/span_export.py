"""Spans to an OpenTelemetry collector, over OTLP and HTTP: only where somebody asked for it, and never in the way.

It is asked for by `vfnet serve --otlp` or `vfnet gateway --otlp`, or by OpenTelemetry's own variables. What is exported
waits in a bounded queue; a collector that is slow or away loses spans, and nobody waits for it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler

ENDPOINT, TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_TRACES_PATH = "/v1/traces"
SERVICE = "OTEL_SERVICE_NAME"
_EXPORT_SECONDS = 5.0
"""For one batch to arrive, all tries together."""
_SHUTDOWN_MILLISECONDS = 1000
_QUEUE, _BATCH, _DELAY_MILLISECONDS = 4096, 512, 1000
"""Spans that wait, those sent together, and how long they wait. OTEL_BSP_... changes them."""


_CONTENT = re.compile(r"""b?(['"]).*?\1|\w+://\S+|\bb['"].*""", re.DOTALL)
_LONGEST_REASON = 200


def reason_for_spans(told: str) -> str:
    """Why something failed, without what the caller sent: what stands in quotes, and addresses."""
    return _CONTENT.sub("...", told)[:_LONGEST_REASON]


def traces_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Where traces go; None: nowhere.

    Args:
        given: the option; a collector's address, or that of its traces. It comes before the variables.

    Raises:
        ValueError: it is no http(s) URL; the message says where it stands.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if given:
        return _checked(given, "--otlp", is_base=True)
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("", "otlp"):
        return None
    if url := environment.get(TRACES_ENDPOINT):
        return _checked(url, TRACES_ENDPOINT, is_base=False)
    if url := environment.get(ENDPOINT):
        return _checked(url, ENDPOINT, is_base=True)
    return None


def _checked(url: str, where: str, *, is_base: bool) -> str:
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or any(map(str.isspace, url)):
        raise ValueError(f"{where} must be a collector's address such as http://127.0.0.1:4318, not {url!r}")
    if parts.username is not None:
        raise ValueError(f"{where} must hold no user name or password: OTEL_EXPORTER_OTLP_HEADERS carries a key")
    path = parts.path.rstrip("/")
    if is_base and not path.endswith(_TRACES_PATH):
        path += _TRACES_PATH
    return parts._replace(path=path or "/").geturl()


def open_provider(
    url: str, service: str, warn: Callable[[str], None], sampler: Sampler | None = None, **attributes: Any
) -> TracerProvider:
    """What makes tracers whose spans go to `url`.

    Args:
        url: of `traces_url`.
        service: its name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give another.
        warn: is told in a sentence that spans do not arrive, once until they do again.
        sampler: None: by OTEL_TRACES_SAMPLER, else whatever the caller says, and all without one.
        attributes: of the resource, with dots for double underscores.

    Raises:
        ImportError: OpenTelemetry is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class SaidOnce:
        """Hands on; the first failure in a row is said, in place of the exporter's own lines, one for each."""

        def __init__(self) -> None:
            self._exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)
            self._is_lost = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = self._exporter.export(spans)
            except Exception:  # whatever it is, it happens on a thread of its own and concerns spans alone
                result = SpanExportResult.FAILURE
            if result is SpanExportResult.FAILURE and not self._is_lost:
                warn(f"no traces arrive at {url}: they are dropped until it takes them again")
            self._is_lost = result is SpanExportResult.FAILURE
            return result

        def shutdown(self) -> None:
            self._exporter.shutdown()

        def force_flush(self, timeout_millis: int = _SHUTDOWN_MILLISECONDS) -> bool:
            return bool(self._exporter.force_flush(timeout_millis))

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    more = {name.replace("__", "."): value for name, value in attributes.items()}
    # `create` puts the variables' attributes before those given; the name is to be theirs, too.
    named = Resource.create().attributes
    if str(named.get(SERVICE_NAME, "")).startswith("unknown_service"):
        more[SERVICE_NAME] = service
    provider = TracerProvider(sampler=sampler, resource=Resource.create(more), shutdown_on_exit=False)
    limits = {
        "max_queue_size": (_QUEUE, "OTEL_BSP_MAX_QUEUE_SIZE"),
        "max_export_batch_size": (_BATCH, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        "schedule_delay_millis": (_DELAY_MILLISECONDS, "OTEL_BSP_SCHEDULE_DELAY"),
    }
    chosen: dict[str, Any] = {name: value for name, (value, variable) in limits.items() if variable not in os.environ}
    provider.add_span_processor(BatchSpanProcessor(SaidOnce(), **chosen))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send what waits, for a second at most."""
    from threading import Thread

    closing = Thread(target=provider.shutdown, name="traces", daemon=True)
    closing.start()
    closing.join(_SHUTDOWN_MILLISECONDS / 1000)
