"""Turn checkpoints into model repositories, and measure them."""

import vfnet_client  # noqa: F401  # turns telemetry off
