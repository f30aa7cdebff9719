"""A Ray cluster: one that is there, or one of this machine alone."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vfnet_client.exceptions import VFNetError

LOCAL = "local"
"""The address that starts a cluster of this machine, which ends with this process."""
_BEYOND_THIS_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable. With 0 a cluster of one machine listens on the loopback address only, as it does by itself on Windows
and macOS; on Linux it would listen everywhere. Read when Ray is imported."""


@contextmanager
def connected(address: str, cpus: float, error: type[VFNetError]) -> Iterator[None]:
    """Connect this process, and leave again: of a cluster of ours no process stays behind.

    Args:
        address: `LOCAL`; `auto`, the one this process runs in; or host:port.
        cpus: that are needed at the same time. A cluster of ours has as many, whatever the machine has.
        error: raised where there is no such cluster.
    """
    options: dict[str, Any] = {}
    if address == LOCAL:
        if "ray" not in sys.modules:
            os.environ.setdefault(_BEYOND_THIS_MACHINE, "0")
        options = {"include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, math.ceil(cpus))}
    import ray

    try:
        ray.init(address, log_to_driver=True, logging_level="warning", **options)
    except (ConnectionError, ValueError, RuntimeError) as failure:
        raise error(f"cannot reach a Ray cluster at {address}: {failure}") from failure
    try:
        yield
    finally:
        ray.shutdown()
