"""Run the real Triton Inference Server on a built repository, and keep it running."""

import vfnet_client  # noqa: F401  # turns telemetry off
