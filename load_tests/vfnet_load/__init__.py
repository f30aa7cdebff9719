"""Load tests: locust users of the three ways in, arrivals and profiles, and runs turned into reports."""

import vfnet_client  # noqa: F401  # turns telemetry off
