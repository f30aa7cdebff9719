"""Responses of a Python model: errors, the caller's fault or ours, and those that are sent instead of returned."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from vfnet_runtime.triton_models.request_traces import trace_id_of


def invalid_argument(message: str) -> Any:
    """The caller's fault: HTTP 400, gRPC INVALID_ARGUMENT; `message` is for the caller."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def internal_error(message: str, error: Exception, request: Any) -> Any:
    """Ours: HTTP 500, gRPC INTERNAL. The caller gets `message`; what happened goes to the server's log."""
    trace_id = trace_id_of(request)
    pb_utils.Logger.log_error(
        f"{message}: {type(error).__name__}: {error}{'' if trace_id is None else f' (trace {trace_id})'}"
    )
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))


def error_of(response: Any) -> str | None:
    """What its caller is told where it is an error."""
    return str(response.error().message()) if response.has_error() else None


def cancelled() -> Any:
    """The caller has gone: gRPC CANCELLED."""
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError("the request was cancelled", pb_utils.TritonError.CANCELLED)
    )


def send_only_response(sender: Any, response: Any) -> None:
    """Send one request's only response. One that cannot be sent is logged: others wait for theirs."""
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:  # no shared memory left, say
        pb_utils.Logger.log_error(f"an answer could not be sent: {error}")
