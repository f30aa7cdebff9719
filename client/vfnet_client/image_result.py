"""What became of one image."""

from __future__ import annotations

from dataclasses import dataclass

from vfnet_client.detections import Detections
from vfnet_client.exceptions import InferenceError, VFNetClientError


@dataclass(frozen=True)
class ImageResult:
    """What became of one image of many: either `detections` or `error` is there."""

    position: int
    detections: Detections | None = None
    error: VFNetClientError | None = None
    image: bytes | None = None
    """The encoded bytes that were sent; None where there were none to send."""

    def result(self) -> Detections:
        """The detections; raises the error instead where there is one."""
        if self.detections is None:
            raise self.error or InferenceError("no outcome")
        return self.detections


def typed(answer: bytes) -> Detections:
    """The server's `DETECTIONS` of one image.

    Raises:
        InferenceError: it is no such thing.
    """
    try:
        return Detections.from_json(answer)
    except ValueError as error:
        raise InferenceError(f"the server's answer is not the documented JSON: {error}") from error
