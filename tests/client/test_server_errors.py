"""Whose fault it is, by what a server says."""

from __future__ import annotations

import pytest

from vfnet_client.exceptions import (
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


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "400"])
@pytest.mark.parametrize(
    "message",
    [
        "in ensemble 'vfnet', CLASSES has 'cam', which is no class of this model; did you mean 'can'?",
        "input NMS_IOU must be a number from 0 to 1",
    ],
)
def test_what_is_said_of_an_option_is_not_the_images_fault(message: str, status: str) -> None:
    error = told(status, message)
    assert type(error) is InvalidOptionsError
    assert error.status == 400
    assert str(error) == message.removeprefix("in ensemble 'vfnet', ")


@pytest.mark.parametrize(
    "message",
    [
        "[request id: <id_unknown>] unexpected inference input 'NMS_IOU' for model 'vfnet'",
        "unexpected inference input 'NMS_IOU' for model 'vfnet'",
        "[request id: x] expected number of inputs between 1 and 2 but got 3 inputs for model 'vfnet'. Got input(s) "
        "['IMAGE','SCORE_THRESHOLD','NMS_IOU'], but missing required input(s) [].",
        "there is no input 'NMS_IOU'; there are: IMAGE, SCORE_THRESHOLD",
    ],
)
def test_a_model_from_before_an_option_is_said_to_be(message: str) -> None:
    error = told("INVALID_ARGUMENT", message)
    assert type(error) is UnsupportedOptionsError
    assert str(error).startswith("NMS_IOU: the model there was built before")


def test_another_unknown_input_is_no_option() -> None:
    assert type(told("INVALID_ARGUMENT", "unexpected inference input 'PIXELS' for model 'vfnet'")) is InvalidImageError
