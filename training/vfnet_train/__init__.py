"""Training VFNet: assignment, losses, the loop, and what it leaves behind."""

import vfnet_client  # noqa: F401  # turns telemetry off
