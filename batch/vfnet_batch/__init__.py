"""Scoring very many images, restartable: `vfnet batch`, on one machine or with Ray on many."""

import vfnet_client  # noqa: F401  # turns telemetry off
