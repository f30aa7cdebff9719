"""The thin client of a Triton-served VFNet: `VFNetClient`, `AsyncVFNetClient` and the `vfnet` command.

Names are imported when first used, so that `import vfnet_client` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vfnet_client.telemetry import turn_off

if TYPE_CHECKING:
    from vfnet_client.async_client import AsyncVFNetClient
    from vfnet_client.client import VFNetClient, score
    from vfnet_client.contract import ScoreReply
    from vfnet_client.credentials import Credentials
    from vfnet_client.detections import DetectedBox, Detections, ImageResult
    from vfnet_client.drawing import draw_detections
    from vfnet_client.exceptions import (
        AccessDeniedError,
        DeadlineExceededError,
        FatalImageError,
        InferenceError,
        InvalidImageError,
        InvalidOptionsError,
        ModelProcessDiedError,
        RequestError,
        ServerBusyError,
        ServerUnavailableError,
        UnsupportedOptionsError,
        VFNetClientError,
    )

__all__ = [
    "AccessDeniedError",
    "AsyncVFNetClient",
    "Credentials",
    "DeadlineExceededError",
    "DetectedBox",
    "Detections",
    "FatalImageError",
    "ImageResult",
    "InferenceError",
    "InvalidImageError",
    "InvalidOptionsError",
    "ModelProcessDiedError",
    "RequestError",
    "ScoreReply",
    "ServerBusyError",
    "ServerUnavailableError",
    "UnsupportedOptionsError",
    "VFNetClient",
    "VFNetClientError",
    "draw_detections",
    "score",
]

turn_off()

_HOME = {
    "AsyncVFNetClient": "async_client",
    "ImageResult": "detections",
    "VFNetClient": "client",
    "ScoreReply": "contract",
    "Credentials": "credentials",
    "DetectedBox": "detections",
    "Detections": "detections",
    "draw_detections": "drawing",
    "score": "client",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'exceptions')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
