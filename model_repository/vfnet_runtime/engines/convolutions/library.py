"""The compiled convolutions: see convolutions.c."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libconvolutions.so"
_ELF_64_LITTLE = b"\x7fELF\x02\x01"
_ELF_HEADER = struct.Struct("<40xQ10xHH2x")
"""Of 64 bits (elf.h): where its table of sections begins, which is the last part, bytes of an entry, entries."""


@functools.cache
def load_library(path: Path) -> ctypes.CDLL | None:
    """The compiled library; None where there is none, or a part of one, or it does not fit this system."""
    try:
        return ctypes.CDLL(str(path)) if _is_whole(path) else None
    except OSError:
        return None


def _is_whole(path: Path) -> bool:
    """Whether an ELF file reaches to its last table. The loader does not ask, and what it lacks ends the process."""
    with path.open("rb") as file:
        header = file.read(_ELF_HEADER.size)
        size = file.seek(0, os.SEEK_END)
    if len(header) < _ELF_HEADER.size or not header.startswith(_ELF_64_LITTLE):
        return False
    start, entry_size, entries = _ELF_HEADER.unpack(header)
    return bool(start + entry_size * entries <= size)


def aligned(values: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that begins at a multiple of 64 bytes, as the library reads weights."""
    memory = np.empty(values.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy
