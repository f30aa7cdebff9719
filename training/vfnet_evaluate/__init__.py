"""COCO evaluation of a running server or a checkpoint."""

import vfnet_client  # noqa: F401  # turns telemetry off
