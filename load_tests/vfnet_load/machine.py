"""What the measurements were made on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from vfnet_runtime.processor_cores import available_cores

_PACKAGES = ("openvino", "torch", "numpy", "vfnet")


def describe_machine(cores: int | None = None) -> dict[str, Any]:
    """Facts for the result's JSON.

    Args:
        cores: how many the measurement uses; None: as many as this process may.
    """
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores_usable": available_cores() if cores is None else cores,
        "memory_bytes": int(psutil.virtual_memory().total),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def package_versions() -> dict[str, str]:
    """Of what computes."""
    return {name: version(name) for name in _PACKAGES}


def cpu_model(cpuinfo: Path) -> str:
    """The processor's name in `cpuinfo` (x86), else the architecture's."""
    try:
        rows = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        rows = []
    named = (row.partition(":")[2].strip() for row in rows if row.startswith("model name"))
    return next(named, platform.machine())
