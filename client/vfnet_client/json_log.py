"""A log for machines: one JSON object a line, in the gateway's form."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from vfnet_client.safe_text import printable_lines

LOG_FORMATS = ("text", "json")
_LONGEST_MESSAGE = 4000


def json_line(level: str, logger: str, message: str, trace_id: str | None = None) -> str:
    """One event, without the end of its line.

    Args:
        level: `INFO`, `WARNING` or `ERROR`.
        logger: what says it, such as `vfnet serve`.
        trace_id: of the request that it is about.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": printable_lines(message)[:_LONGEST_MESSAGE],
    }
    return json.dumps(line if trace_id is None else {**line, "trace_id": trace_id}, ensure_ascii=False)
