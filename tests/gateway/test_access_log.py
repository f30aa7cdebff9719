"""The gateway's log where it cannot be written."""

from __future__ import annotations

import contextlib
from pathlib import Path

from vfnet_gateway.access_log import AccessLog


def test_a_full_disk_stops_nobody() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    try:
        AccessLog(full).note("INFO", "there is no room for this")
    finally:
        with contextlib.suppress(OSError):
            full.close()
