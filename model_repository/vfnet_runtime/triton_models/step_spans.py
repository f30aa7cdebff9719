"""The steps of an image inside a model as spans of its caller's trace, where `vfnet serve` was told to export them.

Triton says to which of its own spans a request belongs; where it does not trace, the caller's `traceparent` is among
the request's parameters. Who sampled the trace has decided for all of us: without either there are no spans.
"""

from __future__ import annotations

import os
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

from vfnet_runtime.span_export import close_provider, open_provider, reason_for_spans
from vfnet_runtime.step_times import Attribute, ImageSteps, StepTimes
from vfnet_runtime.triton_models.request_traces import traceparent_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

TRACES_VARIABLE = "VFNET_TRACES_URL"
"""Where spans go; set by `vfnet serve` alone."""
SERVICE = "vfnet-triton"
_SAMPLED = 1


class StepSpans:
    """A listener of `StepTimes`."""

    def __init__(self, model: str, url: str, attributes: dict[str, Attribute]) -> None:
        """Raises ImportError: OpenTelemetry is not installed."""
        from opentelemetry import trace

        self._trace, self._model = trace, model
        self._attributes = {f"vfnet.{name}": value for name, value in attributes.items()}
        warn = pb_utils.Logger.log_warn
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._provider = open_provider(url, SERVICE, lambda text: warn(f"{model}: {text}"), ALWAYS_ON)
        self._tracer = self._provider.get_tracer("vfnet_runtime")

    def __call__(self, image: ImageSteps) -> None:
        """Export one image's steps, if its trace is sampled."""
        parent = self._parent(image.request)
        if parent is None:
            return
        to_wall_clock = time_ns() - monotonic_ns()
        own = {f"vfnet.{name}": value for name, value in image.attributes.items()}
        span = self._tracer.start_span(
            f"steps of {self._model}",
            parent,
            attributes=self._attributes | own,
            start_time=image.started + to_wall_clock,
        )
        inside = self._trace.set_span_in_context(span)
        for step in image.steps:
            child = self._tracer.start_span(step.name, inside, start_time=step.started + to_wall_clock)
            child.end(step.ended + to_wall_clock)
        if image.error is not None:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, reason_for_spans(image.error)))
        span.end(image.ended + to_wall_clock)

    def close(self) -> None:
        """Send what waits."""
        close_provider(self._provider)

    def _parent(self, request: Any) -> Context | None:
        header = traceparent_of(request)
        if header is None:
            return None
        trace_id, span_id, flags = header.group("trace_id", "span_id", "flags")
        if not int(flags, 16) & _SAMPLED:
            return None
        context = self._trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=self._trace.TraceFlags(_SAMPLED)
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(context)) if context.is_valid else None


def export_spans(step_times: StepTimes, **attributes: Attribute) -> StepSpans | None:
    """Have the steps of a model exported where the environment asks for it; None: it does not, or cannot.

    Args:
        attributes: of every image in this model, such as its engine.
    """
    if not (url := os.environ.get(TRACES_VARIABLE)):
        return None
    try:
        spans = StepSpans(step_times.model, url, attributes)
    except ImportError as error:
        pb_utils.Logger.log_warn(
            f"{step_times.model} exports no spans: {error}; install opentelemetry-sdk and -exporter-otlp-proto-http"
        )
        return None
    step_times.listeners.append(spans)
    return spans
