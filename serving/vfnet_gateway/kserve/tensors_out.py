"""The arrays of an answer as tensors of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfnet_gateway.kserve.public_models import OUTPUTS

_DATATYPES = {tensor.name: tensor.datatype for tensor in OUTPUTS}
_DTYPES = {"FP32": "<f4", "INT32": "<i4"}


@dataclass(frozen=True)
class OutputTensor:
    """One output of an answer."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes
    """In binary form."""
    array: Any
    """The same as a NumPy array; of BYTES, of Python's bytes."""

    def values(self) -> list[Any]:
        """Its elements, flat, for JSON."""
        if self.datatype == "BYTES":
            return [element.decode("utf-8", "replace") for element in self.array.reshape(-1)]
        return list(self.array.reshape(-1).tolist())


def output_tensors(arrays: dict[str, Any], names: Sequence[str]) -> list[OutputTensor]:
    """Those outputs, in this order."""
    return [_tensor(name, arrays[name]) for name in names]


def _tensor(name: str, array: Any) -> OutputTensor:
    datatype = _DATATYPES[name]
    if datatype == "BYTES":
        raw = b"".join(len(element).to_bytes(4, "little") + element for element in array.reshape(-1))
    else:
        raw = np.ascontiguousarray(array, _DTYPES[datatype]).tobytes()
    return OutputTensor(name, datatype, tuple(array.shape), raw, array)
