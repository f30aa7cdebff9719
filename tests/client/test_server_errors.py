"""Whose fault it is, by what a server says."""

from __future__ import annotations

import pytest

from vfnet_client.exceptions import (
    InferenceError,
    InvalidImageError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.server_errors import error_for

DIED = (
    "in ensemble 'vfnet', Stub process 'vfnet_detector_0_0' is not healthy.",
    "Stub process is not healthy.",
    "in ensemble 'vfnet', Failed to process the request(s) for model instance 'vfnet_postprocess_0_0', message: "
    "Stub process 'vfnet_postprocess_0_0' is not healthy.",
    "Failed to obtain the health mutex.",
    "Failed to initialize stub, stub process exited unexpectedly: vfnet_detector_0_0",
)
AWAY = (
    ("NOT_FOUND", "Request for unknown model: 'vfnet' is not found"),
    ("404", "Request for unknown model: 'vfnet' is not found"),
    ("400", "Request for unknown model: 'vfnet' is not found"),
    ("INTERNAL", "in ensemble 'vfnet', Request for unknown model: 'vfnet_detector' is not found"),
    ("NOT_FOUND", "in ensemble 'vfnet', 'vfnet_detector' has no available versions"),
    ("UNAVAILABLE", "'vfnet_detector' version 1 is not at ready state"),
    ("UNAVAILABLE", "Server exiting"),
    ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped accepting new inference requests"),
    ("UNAVAILABLE", "GRPC server is shutting down and has stopped accepting new requests."),
    ("UNAVAILABLE", "Socket closed"),
    ("UNAVAILABLE", "GOAWAY received; Error code: 2"),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused"),
    ("UNKNOWN", "Stream removed"),
    ("INTERNAL", "Received RST_STREAM with error code 2"),
    ("CANCELLED", "CANCELLED"),
    ("502", "status 502 Bad Gateway"),
    ("503", "the detector is not ready"),
)


def told(status: str, message: str) -> VFNetClientError:
    return error_for(status, message, "grpc://a:1", 5)


@pytest.mark.parametrize("status", ["INTERNAL", "500"])
@pytest.mark.parametrize("message", DIED)
def test_a_dead_model_process_is_worth_another_try_and_says_when(message: str, status: str) -> None:
    error = told(status, message)
    assert type(error) is ModelProcessDiedError
    assert error.retry_after == 2


@pytest.mark.parametrize(("status", "message"), AWAY)
def test_a_server_that_restarts_or_reloads_is_unavailable(status: str, message: str) -> None:
    assert type(told(status, message)) is ServerUnavailableError


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        ("404", "status 404 Not Found", WrongServerError),
        ("INTERNAL", "KeyError: 'weights'", InferenceError),
        ("500", "status 500 Internal Server Error", InferenceError),
        ("INVALID_ARGUMENT", "the image's comment says: Stub process is not healthy", InvalidImageError),
        ("400", "no image: request for unknown model", InvalidImageError),
        ("UNAVAILABLE", "in ensemble 'vfnet', Exceeds maximum queue size", ServerBusyError),
    ],
)
def test_what_another_try_does_not_help_is_something_else(
    status: str, message: str, kind: type[VFNetClientError]
) -> None:
    assert type(told(status, message)) is kind
