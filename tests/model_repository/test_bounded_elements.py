"""What Triton's Python backend is given in place of its own reader of BYTES inputs."""

from __future__ import annotations

import struct
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from vfnet_runtime.triton_models.bounded_elements import few_elements, read_at_most

MANY = 5_000_000


def encoded(*elements: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(struct.pack("<I", len(each)) + each for each in elements), np.uint8)


def test_few_elements_are_read_as_they_are() -> None:
    backend = SimpleNamespace()
    read_at_most(3, backend)
    for elements in ((), (b"can",), (b"", "kartön".encode(), b"\xff\x00")):
        found = backend.deserialize_bytes_tensor(encoded(*elements))
        assert found.dtype == np.object_
        assert found.tolist() == list(elements)
        assert found.reshape([len(elements)]).shape == (len(elements),)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_what_ends_within_an_element_is_an_error(cut: int) -> None:
    with pytest.raises(struct.error):
        few_elements(3, encoded(b"can", b"can")[: 7 + cut])


def test_of_millions_none_is_read() -> None:
    elements = np.zeros(4 * MANY, np.uint8)
    tracemalloc.start()
    started = time.process_time()
    try:
        found = few_elements(80, elements).reshape([MANY])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1
    assert found.shape == (MANY,)
    assert found[-1] == b""
