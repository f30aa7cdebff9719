"""Nothing phones home: what the packages that we use would report about their use, to whoever made them, is off.

Called when any package of ours is imported, before what it concerns is. Where others come first (Ray's own command,
say), set `VARIABLES`; the images do.
"""

from __future__ import annotations

import os
import sys
from typing import Any, cast

VARIABLES = {
    "DO_NOT_TRACK": "1",  # a convention that several tools keep
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.32 collects events in ~/.cache/Microsoft and sends them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Inherited by what is started from here."""

_ABSENT = "openvino_telemetry"
"""OpenVINO reports its import, and NNCF what it does, by this package, and has no variable against it. Both do without
where it is not installed."""


def turn_off() -> None:
    """For this process and those that it starts. A variable that somebody has set stays as it is."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    cast("dict[str, Any]", sys.modules).setdefault(_ABSENT, None)
