"""How well a server's batches are filled, by Triton's metrics."""

from __future__ import annotations

import re

from vfnet_serve.endpoints import Endpoints
from vfnet_serve.local_http import fetch


def detector_counts(endpoints: Endpoints) -> tuple[int, int]:
    """Images and batches that the detector has computed so far."""
    text = fetch(endpoints.metrics_url).decode()
    found = [
        re.search(rf'^{name}{{[^}}]*model="vfnet_detector"[^}}]*}} ([\d.e+]+)', text, re.MULTILINE)
        for name in ("nv_inference_count", "nv_inference_exec_count")
    ]
    images, batches = (int(float(match[1])) if match else 0 for match in found)
    return images, batches
