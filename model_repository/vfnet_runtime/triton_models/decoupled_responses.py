"""Responses that a Python model sends when they are done, and does not return."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils


def send_only_response(sender: Any, response: Any) -> None:
    """Send one request's only response. One that cannot be sent is logged: others wait for theirs."""
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:  # no shared memory left, say
        pb_utils.Logger.log_error(f"an answer could not be sent: {error}")
