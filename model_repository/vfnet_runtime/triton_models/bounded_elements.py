"""BYTES inputs, of which no more elements are read than a model can use.

Triton's Python backend (2.51) takes each BYTES input apart before the model sees it, in a loop of Python's: one request
may hold tens of millions of empty elements, which take a minute and gigabytes. It looks for the function that does so
in its own Python module each time, where another one is put here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")


def read_at_most(most: int, backend: Any) -> None:
    """Have the backend's module, `triton_python_backend_utils`, read so many elements of an input, or none of them."""
    backend.deserialize_bytes_tensor = partial(few_elements, most)


def few_elements(most: int, given: NDArray[np.uint8]) -> NDArray[np.object_] | Unread:
    """The elements of a tensor in binary form, each its length in four bytes and its text; `Unread` if they are more.

    Raises:
        struct.error: it ends within an element. The backend makes an error of it, of this request alone.
    """
    encoded = given.data
    elements: list[bytes] = []
    position = 0
    while position < len(encoded):
        if len(elements) == most:
            return Unread()
        (size,) = _LENGTH.unpack_from(encoded, position)
        position += _LENGTH.size
        elements += struct.unpack_from(f"<{size}s", encoded, position)
        position += size
    return np.array(elements, np.object_)


class Unread:
    """In place of elements that are too many."""

    def reshape(self, shape: Sequence[int]) -> NDArray[np.object_]:
        """As many empty ones as the input's shape says, all of them in the place of one."""
        return np.broadcast_to(np.array(b"", np.object_), shape)
