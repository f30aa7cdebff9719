"""The application's trace goes on behind the server, where the application uses OpenTelemetry.

Nothing is imported for it, and nothing exported: what the application has imported is used. It made the tracer provider
and decides what is sampled and where spans go.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

TRACEPARENT, TRACESTATE, B3 = "traceparent", "tracestate", "b3"
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_NOT_SAMPLED = {B3: "0"}
"""What says so to a gateway. Triton (2.51) takes any `traceparent` for sampled, whatever its flag, and reads no B3."""
_API = "opentelemetry.trace"


def trace_headers() -> Mapping[str, str]:
    """What a request to a server carries of the current span; nothing where the application does not trace."""
    api = sys.modules.get(_API)
    if api is None:
        return {}
    span: Any = api.get_current_span()
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    if not context.trace_flags.sampled:
        return _NOT_SAMPLED
    headers = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-01"}
    if state := context.trace_state.to_header():
        headers[TRACESTATE] = state
    return headers


def checked_trace_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a caller's headers those of its trace, as far as they are what W3C's Trace Context says."""
    given = headers.get(TRACEPARENT, "")
    if not _TRACEPARENT.fullmatch(given):
        return {}
    found, state = {TRACEPARENT: given}, headers.get(TRACESTATE, "")
    if _TRACESTATE.fullmatch(state):
        found[TRACESTATE] = state
    return found


def is_unsampled(headers: Mapping[str, str]) -> bool:
    """Whether a caller's headers say without a trace that it is not sampled, as `trace_headers` does."""
    return headers.get(B3) == _NOT_SAMPLED[B3]


@contextmanager
def client_span(name: str, **attributes: str | int) -> Iterator[None]:
    """A span of the application's around what happens in the context, where it traces and is in a trace of its own."""
    api = sys.modules.get(_API)
    if api is None:
        yield
        return
    tracer: Any = api.get_tracer("vfnet_client")
    with tracer.start_as_current_span(name, kind=api.SpanKind.CLIENT, attributes=attributes):
        yield
