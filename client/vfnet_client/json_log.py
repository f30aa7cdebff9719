"""A log for machines: one JSON object a line, in the gateway's form."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from vfnet_client.safe_text import printable_lines

LOG_FORMATS = ("text", "json")
_LONGEST_MESSAGE = 4000
_is_for_machines = False


def write_as(log_format: str) -> None:
    """What this process says from now on, in one of `LOG_FORMATS`."""
    global _is_for_machines
    _is_for_machines = log_format == "json"


def is_for_machines() -> bool:
    """Whether each line is to be a JSON object."""
    return _is_for_machines


def message_of(line: str) -> str:
    """What a line of a log says: of `json_line`'s the logger and the message, another as it is."""
    try:
        told = json.loads(line) if line.startswith("{") else {}
        return f"{told['logger']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return line


def say(logger: str, message: str, level: str = "INFO") -> None:
    """Print a line to stderr, in the form that was chosen; arguments as of `json_line`."""
    text = json_line(level, logger, message) if _is_for_machines else printable_lines(f"{logger}: {message}")
    print(text, file=sys.stderr, flush=True)


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
