"""A full disk, told as one by libraries that say anything else."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = 2**20
"""Bytes: a disk on which fewer are free is full for what is written here."""
_FULL_FOR_A_NETWORK = 2**28
"""The same where a network could not be written, which OpenVINO may have removed again."""
_NETWORK_ERROR = "iostream error"


@contextmanager
def told_as_oserror(folder: Path) -> Iterator[None]:
    """For what writes into a folder by OpenVINO or torch, which raise RuntimeError("basic_ios::clear: ...") and alike.

    Raises:
        OSError: there was a RuntimeError, and the disk is full.
    """
    try:
        yield
    except RuntimeError as error:
        if shutil.disk_usage(folder).free > (_FULL_FOR_A_NETWORK if _NETWORK_ERROR in str(error) else _FULL):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
