"""One of our errors for what a server, or the way to it, says."""

from __future__ import annotations

import re

from vfnet_client.exceptions import (
    AccessDeniedError,
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)
from vfnet_client.safe_text import printable_line

_LONGEST_MESSAGE = 2000
"""Characters of a server's words."""
_ENSEMBLE_PREFIX = re.compile(r"^in ensemble '[^']*', ")
_BUSY = re.compile(r"queue|busy|overload|too many|in flight|request timeout expired", re.IGNORECASE)


def error_for(
    status: str, message: str, server: str, timeout: float | None, retry_after: float | None = None
) -> VFNetClientError:
    """The error that says whose fault it is.

    Args:
        status: gRPC's word or HTTP's number.
        message: the server's own words.
        timeout: the seconds that were allowed; None for no limit.
        retry_after: the seconds that the server asks to wait.
    """
    reason = _ENSEMBLE_PREFIX.sub("", printable_line(" ".join(message[:_LONGEST_MESSAGE].split()), _LONGEST_MESSAGE))
    if status in ("INVALID_ARGUMENT", "400"):
        return InvalidImageError(reason)
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403"):
        return AccessDeniedError(f"{server} does not accept the key or certificate: {reason}")
    if status in ("RESOURCE_EXHAUSTED", "429") or (status in ("UNAVAILABLE", "503") and _BUSY.search(reason)):
        return ServerBusyError(f"the server at {server} is busy: {reason}", retry_after)
    if status in ("UNAVAILABLE", "NOT_FOUND", "404", "502", "503"):
        return unavailable(server, reason, retry_after)
    if status in ("DEADLINE_EXCEEDED", "504"):
        return deadline_exceeded(server, timeout)
    return InferenceError(f"the server at {server} failed: {reason}")


def unavailable(server: str, reason: str, retry_after: float | None = None) -> ServerUnavailableError:
    """Nobody there, or not ready."""
    return ServerUnavailableError(
        f"no VFNet is ready at {server}: {printable_line(reason, _LONGEST_MESSAGE)}", retry_after
    )


def deadline_exceeded(server: str, timeout: float | None) -> DeadlineExceededError:
    """No answer in the seconds allowed."""
    within = "in time" if timeout is None else f"within {timeout:g} s"
    return DeadlineExceededError(f"no answer from {server} {within}")
