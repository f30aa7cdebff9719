"""One of our errors for what a server, or the way to it, says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vfnet_client.detection_options import INPUT_NAMES, LATER_INPUTS
from vfnet_client.exceptions import (
    AccessDeniedError,
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    InvalidOptionsError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    UnsupportedOptionsError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.safe_text import printable_line

_LONGEST_MESSAGE = 2000
"""Characters of a server's words."""
_ENSEMBLE_PREFIX = re.compile(r"^in ensemble '[^']*', ")
_BUSY = re.compile(r"queue|busy|overload|too many|in flight|request timeout expired", re.IGNORECASE)

# What Triton 2.51 to 2.60 say, in the sources of its Python backend (python_be.cc, stub_launcher.cc), core
# (model_lifecycle.cc, model_repository_manager.cc, server.cc, dynamic_batch_scheduler.cc) and front ends.
_PROCESS_DIED = re.compile(
    r"stub process\b.*(not healthy|unhealthy|exited unexpectedly)|failed to obtain the health mutex"
    r"|failed to initialize (the )?stub|stub process is not",
    re.IGNORECASE,
)
_UNKNOWN_MODEL = re.compile(r"^request for unknown model\b", re.IGNORECASE)
_AWAY = re.compile(
    r"request for unknown model|has no available versions|not at ready state|is not ready|server not ready"
    r"|server exiting|is stopping|shutting down|stopped accepting|unloading|unloaded|is unavailable"
    r"|unexpected deadlock, at least one output is not set"  # a step of the ensemble went while it was inside
    r"|rst_stream|goaway|stream removed|socket closed|connection reset|broken pipe",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"^(?:input )?(?:{'|'.join(INPUT_NAMES)})\b")
"""How the models and the gateway begin what they say of an option."""
_NO_SUCH_INPUT = re.compile(
    r"^(?:\[request id: [^]]*\] )?"
    r"(?:unexpected inference input '|there is no input '|expected number of inputs between )"
    rf".*?\b(?:{'|'.join(LATER_INPUTS)})\b",
)
"""What Triton and a gateway say of an input that they do not have."""
_FAILED = frozenset({"INTERNAL", "UNKNOWN", "500"})
_PROCESS_BACK_AFTER_S = 2.0
"""Seconds after which it is worth asking again for a model process that died; most are replaced in two to four."""


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
    if status in _FAILED and _PROCESS_DIED.search(reason):
        return process_died(server, reason, retry_after)
    if status in ("INVALID_ARGUMENT", "400"):
        if _UNKNOWN_MODEL.search(reason):  # so some versions answer over HTTP while a model is reloaded
            return unavailable(server, reason, retry_after)
        return about_options(reason) or InvalidImageError(reason)
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403"):
        return AccessDeniedError(f"{server} does not accept the key or certificate: {reason}")
    if status in ("RESOURCE_EXHAUSTED", "429") or (status in ("UNAVAILABLE", "503") and _BUSY.search(reason)):
        return ServerBusyError(f"the server at {server} is busy: {reason}", retry_after)
    if status in ("NOT_FOUND", "404") and not _AWAY.search(reason):
        return WrongServerError(unavailable(server, reason).args[0], retry_after)
    # CANCELLED: a server that ends cancels what is in it; a call that we cancel ourselves does not come here.
    if status in ("UNAVAILABLE", "CANCELLED", "NOT_FOUND", "404", "499", "502", "503"):
        return unavailable(server, reason, retry_after)
    if status in _FAILED and _AWAY.search(reason):
        return unavailable(server, reason, retry_after)
    if status in ("DEADLINE_EXCEEDED", "504"):
        return deadline_exceeded(server, timeout)
    return InferenceError(f"the server at {server} failed: {reason}")


def about_options(reason: str) -> InvalidOptionsError | None:
    """The error for what a model or the gateway says of one of `DetectionOptions`; None: it is about something else."""
    if _OPTION.search(reason):
        return InvalidOptionsError(reason)
    if _NO_SUCH_INPUT.search(reason):
        return unsupported_options([name for name in LATER_INPUTS if re.search(rf"\b{name}\b", reason.split(";")[0])])
    return None


def unavailable(server: str, reason: str, retry_after: float | None = None) -> ServerUnavailableError:
    """Nobody there, or not ready."""
    return ServerUnavailableError(
        f"no VFNet is ready at {server}: {printable_line(reason, _LONGEST_MESSAGE)}", retry_after
    )


def process_died(server: str, reason: str, retry_after: float | None = None) -> ModelProcessDiedError:
    """Somebody there, but one of the models has lost its process."""
    return ModelProcessDiedError(
        f"no VFNet is ready at {server}: {reason}", _PROCESS_BACK_AFTER_S if retry_after is None else retry_after
    )


def deadline_exceeded(server: str, timeout: float | None) -> DeadlineExceededError:
    """No answer in the seconds allowed."""
    within = "in time" if timeout is None else f"within {timeout:g} s"
    return DeadlineExceededError(f"no answer from {server} {within}")


def unsupported_options(names: Sequence[str]) -> UnsupportedOptionsError:
    """Options were sent to a model, or through a gateway, that is from before they could be chosen."""
    return UnsupportedOptionsError(
        f"{', '.join(names)}: the model there was built before a request could choose this. Build it anew with "
        "vfnet build and serve that, or leave it out"
    )
