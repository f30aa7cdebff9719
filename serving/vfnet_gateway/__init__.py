"""The HTTP gateway: answers like the AzureML endpoint its callers leave, in front of Triton."""

import vfnet_client  # noqa: F401  # turns telemetry off
