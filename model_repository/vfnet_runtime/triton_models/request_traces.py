"""Which trace a request belongs to: what Triton's own span for this model says, else what the caller sent."""

from __future__ import annotations

import json
import re
from typing import Any

HEADER = "traceparent"
"""W3C's, as Triton hands it to models (`--grpc-header-forward-pattern`)."""
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)


def traceparent_of(request: Any) -> re.Match[str] | None:
    """`trace_id`, `span_id` and `flags`, in hexadecimal digits; None: not traced, or not to be read."""
    try:
        context = request.trace().get_context()
    except AttributeError:  # a Triton before 24.08
        context = None
    try:
        found: Any = json.loads(context or request.parameters() or "{}")[HEADER]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return _TRACEPARENT.fullmatch(found) if isinstance(found, str) else None


def trace_id_of(request: Any) -> str | None:
    """32 hexadecimal digits; None: it is not traced."""
    found = traceparent_of(request)
    return None if found is None else found["trace_id"]
