"""The limit of open files, which Triton does not start with when it is low: it hangs, and fills its log (2.51)."""

from __future__ import annotations

import contextlib
import resource

from vfnet_serve.installation import ServerError

LEAST = 1024
"""Triton with this ensemble holds some hundred, and every connection is one more."""
WANTED = 65536


def ensure_open_files() -> None:
    """Allow this process, and what it starts, as many as it may have, up to `WANTED`.

    Raises:
        ServerError: it may have fewer than `LEAST`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
            soft = possible
    if soft != resource.RLIM_INFINITY and soft < LEAST:
        raise ServerError(
            f"only {soft} files may be open at once here, and a server needs {LEAST}: raise the limit "
            f"(`ulimit -n {LEAST}`, LimitNOFILE= of a systemd unit, `--ulimit nofile=` of a container)"
        )
