"""The root of everything that is raised on purpose, and what can go wrong between a caller and the detector.

`vfnet_client.cli.run_command` maps it to exit codes. What goes wrong between a caller and the detector carries the
`status` that the scoring contract gives it over HTTP, so that a gateway needs no table of its own.
"""

from __future__ import annotations


class VFNetError(Exception):
    """Base of all that any package of this project raises on purpose. `str()` is fit for a terminal."""


class InterruptedWorkError(VFNetError):
    """A signal ended long work; what is done is saved. `exit_code` is the shell's for that signal."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class VFNetClientError(VFNetError):
    """Base of what the client raises. `str()` is one sentence for the person at the other end."""

    status = 500


class RequestError(VFNetClientError):
    """A scoring request that does not follow the contract; `status` is the HTTP status it earns."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class InvalidOptionsError(RequestError):
    """What is wanted of the detections makes no sense to the model, whatever the image: a class it does not know."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


class UnsupportedOptionsError(InvalidOptionsError):
    """What is wanted of the detections cannot be chosen there: the model or the endpoint is from before that."""


class InvalidImageError(VFNetClientError):
    """The image cannot be detected on: the caller's fault. `str()` is the reason."""

    status = 422


class ImageItemError(InvalidImageError):
    """An item of a scoring request that is neither base64 of something nor a URL."""


class FatalImageError(InvalidImageError):
    """A model process died each time that it had this image, which was therefore given up."""


class ServerBusyError(VFNetClientError):
    """The server's queue is full; the same request may succeed a little later.

    `retry_after` is the seconds that the server asks to wait, None where it does not say.
    """

    status = 429

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerUnavailableError(VFNetClientError):
    """The server cannot be reached, or is not ready. `retry_after` as with `ServerBusyError`."""

    status = 503

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelProcessDiedError(ServerUnavailableError):
    """A process of one of the server's models died or hangs, perhaps of this very image; the server replaces it."""


class WrongServerError(ServerUnavailableError):
    """Something answers there and knows of no such model or path: a proxy whose server is away, or a wrong URL."""


class AccessDeniedError(VFNetClientError):
    """The server wants another key or certificate, or any at all."""

    status = 401


class DeadlineExceededError(VFNetClientError):
    """No answer within the time allowed."""

    status = 504


class InferenceError(VFNetClientError):
    """The server failed on a request it should have served."""


class CommandError(VFNetError):
    """A `vfnet` subcommand cannot go on. The command line prints the sentence and exits with 1."""
