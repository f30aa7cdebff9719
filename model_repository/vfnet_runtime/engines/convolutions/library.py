"""The compiled convolutions: see convolutions.c."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libconvolutions.so"


@functools.cache
def load_library(path: Path) -> ctypes.CDLL | None:
    """The compiled library; None where there is none or it does not fit this system."""
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def aligned(values: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that begins at a multiple of 64 bytes, as the library reads weights."""
    memory = np.empty(values.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy
