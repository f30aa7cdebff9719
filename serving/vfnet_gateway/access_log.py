"""The gateway's log: one JSON object a line, for every request and for what else happens.

Never the content of an image, never a key, never a query string.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from vfnet_client.safe_text import printable_line
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.steps import current_trace_id

_LONGEST_PATH, _LONGEST_REASON, _LONGEST_MESSAGE = 200, 500, 2000


class AccessLog:
    """Writes to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def request(self, scope: Mapping[str, Any], record: RequestRecord, status: int | str) -> None:
        """A request and what became of it (HTTP's number or gRPC's word); times in milliseconds."""
        client = scope.get("client")
        line: dict[str, Any] = {
            "request_id": printable_line(record.request_id),
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": printable_line(scope["path"], _LONGEST_PATH),
            "status": status,
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
            "images": record.images,
            "ms": round(1000 * record.seconds(), 3),
            **{f"{stage}_ms": round(1000 * seconds, 3) for stage, seconds in record.stages.items()},
        }
        if record.steps.trace is not None:
            line["trace_id"] = record.steps.trace.trace_id
        if record.deployment is not None:
            line["deployment"] = record.deployment
        if (origins := record.origins()) is not None:
            line["answered_by"], line["checkpoint"] = origins
        if record.reason is not None:
            line["reason"] = printable_line(record.reason, _LONGEST_REASON)
        self._write(line)

    def note(self, level: str, message: str) -> None:
        """Anything but a request."""
        line = {"level": level, "message": printable_line(message, _LONGEST_MESSAGE)}
        if (trace_id := current_trace_id()) is not None:
            line["trace_id"] = trace_id
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        # surrogates: a path may hold bytes that are no text
        text = orjson.dumps({"time": time, **line}, default=str, option=orjson.OPT_APPEND_NEWLINE)
        with contextlib.suppress(OSError):  # a full disk, say: requests are answered all the same
            self._stream.write(text.decode())
            self._stream.flush()
